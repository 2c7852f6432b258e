"""How far the masks of an object agree: which are compared with each other, pair by pair."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.entropies import CellMasks, Shares


@dataclass(frozen=True)
class Agreement:
    """Mean Dice of all pairs of some hard masks of an object, cut where they are foreground.

    Notes
    -----
    As for failure detection in Zenk et al. (Medical Image Analysis 101, 2025; arXiv 2406.03323),
    where it is the strongest simple baseline, over the members of an ensemble; first in Roy et al.
    (NeuroImage 195, 2019).
    """

    name: str
    """Name of its array in the entropy store."""
    meaning: str
    members: Callable[[CellMasks], Shares]
    """Masks of a cell that are compared: all whose share is above 0, as many for every object."""
    is_shared: bool = False
    """Whether the masks are of all models; otherwise each model has its own."""
    follows_judged: bool = True
    """Whether it compares judged proposals, so that there is one for each of ``JUDGED``."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of its array in the entropy store."""
        judged = ("judged",) if self.follows_judged else ()
        return ("object", *judged, *(() if self.is_shared else ("model",)))


AGREEMENTS: Final = (
    Agreement(
        "dice_theta",
        "mean Dice of the pairs of models",
        lambda cell: cell.in_identity(cell.at_center(cell.is_judged)),
        is_shared=True,
    ),
    Agreement(
        "dice_xp",
        "mean Dice of the pairs of clicks",
        lambda cell: cell.in_identity(cell.is_judged),
    ),
    Agreement(
        "dice_a",
        "mean Dice of the pairs of proposals",
        lambda cell: cell.in_identity(cell.at_center(np.ones_like(cell.is_judged))),
        follows_judged=False,
    ),
    Agreement(
        "dice_t",
        "mean Dice of the pairs of views",
        lambda cell: cell.at_center(cell.is_judged),
    ),
)
"""Every mean pairwise Dice that the stage ``entropy`` computes, as its store orders them."""
