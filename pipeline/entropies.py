"""The entropies of an object: which of its masks each one mixes, and in what shares."""

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
class Entropy:
    """Entropy (Eq. 3) of a mean of masks, in bits."""

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    shares: Callable[[CellMasks], Shares]
    """Shares of a cell's masks in the mean."""
    is_shared: bool = False
    """Whether one mean covers all models; otherwise each model has its own."""
    follows_judged: bool = True
    """Whether it mixes judged proposals, so that there is one for each of ``JUDGED``."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of its array in the entropy store."""
        judged = ("judged",) if self.follows_judged else ()
        return ("object", *judged, *(() if self.is_shared else ("model",)))


ENTROPIES: Final = (
    Entropy(
        "h_y",
        "H_Y, Eq. 4: predictive entropy",
        lambda cell: cell.task_probability / (cell.n_models * cell.n_views * len(SINGLE_CLICKS)),
        is_shared=True,
        follows_judged=False,
    ),
    Entropy(
        "h_theta",
        "H_Θ, Eq. 5: over the models",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)) / cell.n_models,
        is_shared=True,
    ),
    Entropy(
        "h_xp",
        "H_Xp, Eq. 6: over the clicks",
        lambda cell: cell.in_identity(cell.is_judged) / len(SINGLE_CLICKS),
    ),
    Entropy(
        "h_a",
        "H_A, Eq. 7: over the proposals",
        lambda cell: cell.in_identity(cell.at_center(cell.task_probability)),
        follows_judged=False,
    ),
    Entropy(
        "h_std",
        "H_Std: of the judged proposal alone",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)),
    ),
    Entropy(
        "h_t",
        "H_T: over the views",
        lambda cell: cell.at_center(cell.is_judged) / cell.n_views,
    ),
)
"""Everything that the stage ``entropy`` computes, in the order of its store's arrays."""
