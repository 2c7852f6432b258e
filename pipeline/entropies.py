"""Numbers over several masks of an object: the entropy of their mean, and how far they agree."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from pipeline.vocabulary import SINGLE_CLICKS

Shares = Float64[np.ndarray, "object click proposal"]
"""Shares of the masks of one cell; over all cells that enter a mixture, they sum to 1."""

_IS_CENTER: Final = np.array(SINGLE_CLICKS)[:, np.newaxis] == "center"


@dataclass(frozen=True)
class CellMasks:
    """The masks of one cell (one model in one view), as a mixture weighs them."""

    task_probability: Shares
    """Probability of each proposal of a click, from the SamScores (Eq. 10)."""
    is_judged: Shares
    """1 for the judged proposal of a click, 0 for the others."""
    is_identity: bool
    """Whether the view is ``identity``."""
    n_models: int
    n_views: int

    def at_center(self, shares: Shares) -> Shares:
        """The same shares for the click ``center``, none for the others."""
        at_center: Shares = shares * _IS_CENTER
        return at_center

    def in_identity(self, shares: Shares) -> Shares:
        """The same shares in the identity view, none in the others."""
        return shares if self.is_identity else np.zeros_like(shares)


@dataclass(frozen=True)
class MaskStatistic:
    """A number over some masks of an object."""

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    shares: Callable[[CellMasks], Shares]
    """Shares of a cell's masks in the mean; masks that are compared are those with one above 0, as
    many for every object."""
    is_shared: bool = False
    """Whether the masks are of all models; otherwise each model has its own."""
    follows_judged: bool = True
    """Whether it takes judged proposals, so that there is one for each of ``JUDGED``."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of its array in the entropy store."""
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
"""Entropies (Eq. 3) of a mean of masks, in bits, as the entropy store orders them."""

AGREEMENTS: Final = (
    MaskStatistic(
        "dice_theta",
        "mean Dice of the pairs of models",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)),
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
)
"""Mean Dice of all pairs of hard masks, cut where they are foreground, in the store's order.

As for failure detection in Zenk et al. (Medical Image Analysis 101, 2025; arXiv 2406.03323), where
it is the strongest simple baseline, over the members of an ensemble; first in Roy et al.
(NeuroImage 195, 2019)."""
