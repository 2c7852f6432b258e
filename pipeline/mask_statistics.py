"""Tables of the mask statistics that the stage ``entropy`` computes: one row per stored array."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from pipeline.vocabulary import NEAR_CLICKS, SINGLE_CLICKS

Shares = Float64[np.ndarray, "object click proposal"]
"""Weight of each mask of a cell in a mixture; the weights of all cells of a mixture sum to 1."""

_IS_CENTER: Final = np.array(SINGLE_CLICKS)[:, np.newaxis] == "center"


@dataclass(frozen=True)
class CellMasks:
    """SamScore shares and judged proposals of a cell (a model in a view), which weigh its masks."""

    task_probability: Shares
    """Probability of each proposal of a click, by Eq. 10."""
    is_judged: Shares
    """1 for the judged proposal of a click, 0 for the others."""
    is_identity: bool
    n_models: int
    n_views: int
    is_end: bool
    """Whether the model is the smallest or the largest of the family."""

    def at_center(self, shares: Shares) -> Shares:
        """The shares (weights of masks), set to 0 for all of ``SINGLE_CLICKS`` but ``center``."""
        at_center: Shares = shares * _IS_CENTER
        return at_center

    def in_identity(self, shares: Shares) -> Shares:
        """The shares (weights of masks) in the view ``identity``; 0 in any other view."""
        return shares if self.is_identity else np.zeros_like(shares)


@dataclass(frozen=True)
class MaskStatistic:
    """A statistic over several masks of an object, such as the entropy of their mean.

    ``ENTROPIES`` and ``AGREEMENTS`` list them.
    """

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    shares: Callable[[CellMasks], Shares]
    """Computes the shares of a cell's masks in the mean mask. An agreement compares the masks whose
    share is above 0; every object has the same number of them."""
    is_shared: bool = False
    """Whether the masks of all models enter one statistic; otherwise each model has its own."""
    follows_judged: bool = True
    """Whether the statistic depends on the judged proposal: it then has a value for each of
    ``JUDGED``."""
    clicks: tuple[str, ...] = SINGLE_CLICKS
    """Prompt sets whose masks have shares. An agreement may name extra prompt sets."""

    @property
    def iou_name(self) -> str:
        """Array of the entropy store with the IoU of an entropy's mean mask.

        >>> ENTROPIES[0].iou_name
        'iou_y'
        """
        return "iou_" + self.name.removeprefix("h_")

    @property
    def is_optional(self) -> bool:
        """Whether the statistic needs prompt sets that settings must ask for."""
        return self.clicks != SINGLE_CLICKS

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of its array in the entropy store, the first of which is ``object``."""
        judged = ("judged",) if self.follows_judged else ()
        return ("object", *judged, *(() if self.is_shared else ("model",)))


ENTROPIES: Final = (
    MaskStatistic(
        "h_y",
        "H_Y, Eq. 4: predictive entropy",
        lambda cell: cell.task_probability / (cell.n_models * cell.n_views * len(SINGLE_CLICKS)),
        is_shared=True,
        follows_judged=False,
    ),
    MaskStatistic(
        "h_theta",
        "H_Θ, Eq. 5: over the models",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)) / cell.n_models,
        is_shared=True,
    ),
    MaskStatistic(
        "h_xp",
        "H_Xp, Eq. 6: over the clicks",
        lambda cell: cell.in_identity(cell.is_judged) / len(SINGLE_CLICKS),
    ),
    MaskStatistic(
        "h_a",
        "H_A, Eq. 7: over the proposals",
        lambda cell: cell.in_identity(cell.at_center(cell.task_probability)),
        follows_judged=False,
    ),
    MaskStatistic(
        "h_std",
        "H_Std: of the judged proposal alone",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)),
    ),
    MaskStatistic(
        "h_t",
        "H_T: over the views",
        lambda cell: cell.at_center(cell.is_judged) / cell.n_views,
    ),
)
"""Entropies (Eq. 3) of a mean of masks, in bits, in the order of the entropy store."""

AGREEMENTS: Final = (
    MaskStatistic(
        "dice_theta",
        "mean Dice of the pairs of models",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)),
        is_shared=True,
    ),
    MaskStatistic(
        "dice_ends",
        "Dice of the smallest and the largest model",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)) * cell.is_end,
        is_shared=True,
    ),
    MaskStatistic(
        "dice_xp",
        "mean Dice of the pairs of clicks",
        lambda cell: cell.in_identity(cell.is_judged),
    ),
    MaskStatistic(
        "dice_a",
        "mean Dice of the pairs of proposals",
        lambda cell: cell.in_identity(cell.at_center(np.ones_like(cell.is_judged))),
        follows_judged=False,
    ),
    MaskStatistic(
        "dice_t",
        "mean Dice of the pairs of views",
        lambda cell: cell.at_center(cell.is_judged),
    ),
    MaskStatistic(
        "dice_near",
        "mean Dice of the pairs of clicks, `center` and seven moved from it; only where settings "
        "ask for `near`",
        lambda cell: cell.in_identity(cell.is_judged),
        clicks=(SINGLE_CLICKS[0], *NEAR_CLICKS),
    ),
)
"""Mean Dice of all pairs of masks, cut at 0.5, in the order of the entropy store.

Zenk et al. (Medical Image Analysis 101, 2025; arXiv 2406.03323) find the pairwise Dice of an
ensemble's members to be the strongest simple baseline for failure detection. Roy et al. (NeuroImage
195, 2019) use it first."""


OF_FEATURES: Final[Mapping[str, str]] = {"h_std": "mask_entropy", "soft_dice": "confidence"}
"""Arrays of the entropy store about the judged mask of one click alone -> arrays of features that
have them: of the logits, since coding changes a single mask more than a mean of many."""
