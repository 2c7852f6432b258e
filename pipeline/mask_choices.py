"""Chooses the mask with the highest expected IoU: one of three proposals, cut at one of nine cuts.

The decoder answers a prompt with soft masks. SAM2 takes the proposal with the highest SamScore and
cuts its probabilities at 0.5. Heads that expect the IoU of every proposal at every cut can choose
another mask, and no model runs again.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from pipeline.masks import CUT, CUTS
from pipeline.proposals import Values

IouAtCut = Float[np.ndarray, "object proposal cut"]
"""IoU of each proposal at each of ``CUTS``: the true IoU, or the IoU that heads expect."""

HALF: Final = CUTS.index(CUT)
"""Index in ``CUTS`` of the cut of SAM2's masks."""


@dataclass(frozen=True)
class MaskChoices:
    """The chosen mask of each object."""

    proposal: Int[np.ndarray, " object"]
    """Number of the chosen proposal, in decoder order."""
    cut: Int[np.ndarray, " object"]
    """Index in ``CUTS`` of the chosen cut."""

    def of(self, iou_at_cut: IouAtCut) -> Values:
        """Take the value of each object's chosen mask.

        >>> MaskChoices(np.array([1]), np.array([8])).of(np.arange(27.0).reshape(1, 3, 9))
        array([17.])
        """
        values: Values = iou_at_cut[np.arange(len(self.proposal)), self.proposal, self.cut]
        return values


def choose_masks(expected_iou: IouAtCut) -> MaskChoices:
    """Choose the proposal and the cut with the highest expected IoU for each object.

    Among equal masks, the first.
    """
    place = expected_iou.reshape(len(expected_iou), -1).argmax(axis=1)
    return MaskChoices(*np.divmod(place, expected_iou.shape[2]))


def selected_masks(sam_score: Float[np.ndarray, "object proposal"]) -> MaskChoices:
    """SAM2's own choice: the proposal with the highest SamScore, cut at 0.5."""
    selected = sam_score.argmax(axis=1)
    return MaskChoices(selected, np.full_like(selected, HALF))
