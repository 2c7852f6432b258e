"""Chooses masks by their expected IoU: the one mask that may be best, and sets of proposals.

SAM2 takes the proposal with the highest SamScore and cuts its probabilities at 0.5. Heads that
expect the IoU of every proposal at every cut can choose another mask; no model runs again.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from pipeline.heads.scope import ChoiceGain
from pipeline.masks import CUT, CUTS
from pipeline.proposals import Values

IouAtCut = Float[np.ndarray, "object proposal cut"]
"""IoU of each proposal at each of ``CUTS``: the true IoU, or the IoU that heads expect."""

LEAST_IMAGES: Final = 10
"""Fewest held-out images, or videos, on which the gain of a choice is calibrated."""

HALF: Final = CUTS.index(CUT)
"""Index in ``CUTS`` of the cut of SAM2's masks."""


@dataclass(frozen=True)
class MaskChoices:
    """The chosen mask of each object: the index of its proposal and the index of its cut."""

    proposal: Int[np.ndarray, " object"]
    """Index of the chosen proposal, in decoder order."""
    cut: Int[np.ndarray, " object"]
    """Index in ``CUTS`` of the chosen cut."""

    def of(self, iou_at_cut: IouAtCut) -> Values:
        """Value in ``iou_at_cut`` of each object's chosen mask.

        >>> MaskChoices(np.array([1]), np.array([8])).of(np.arange(27.0).reshape(1, 3, 9))
        array([17.])
        """
        values: Values = iou_at_cut[np.arange(len(self.proposal)), self.proposal, self.cut]
        return values

    def differs_from(self, other: "MaskChoices") -> Bool[np.ndarray, " object"]:
        """Whether each object has another proposal or another cut in ``other``."""
        differs: Bool[np.ndarray, " object"] = (self.proposal != other.proposal) | (
            self.cut != other.cut
        )
        return differs


def choose_masks(expected_iou: IouAtCut) -> MaskChoices:
    """Choose the proposal and the cut with the highest expected IoU; of equal ones, the first."""
    place = expected_iou.reshape(len(expected_iou), -1).argmax(axis=1)
    return MaskChoices(*np.divmod(place, expected_iou.shape[2]))


def selected_masks(sam_score: Float[np.ndarray, "object proposal"]) -> MaskChoices:
    """SAM2's own choice: the proposal with the highest SamScore, cut at 0.5."""
    selected = sam_score.argmax(axis=1)
    return MaskChoices(selected, np.full_like(selected, HALF))


def failure_ahead(
    predicted_iou: Float[np.ndarray, "*batch proposal"],
) -> Float[np.ndarray, "*batch proposal"]:
    """For each proposal, the probability that all proposals ahead of it fall short.

    A predicted IoU is taken for the probability that the proposal is good. Ahead are the proposals
    with a higher predicted IoU; of equal ones, the first is ahead. Nothing is ahead of the highest:
    its probability is 1.

    >>> failure_ahead(np.array([0.2, 0.9, 0.5])).round(3).tolist()
    [0.05, 1.0, 0.1]
    """
    order = np.argsort(-predicted_iou, axis=-1, kind="stable")
    fall_short = 1 - np.take_along_axis(predicted_iou, order, axis=-1).clip(0, 1)
    in_order = np.ones(predicted_iou.shape)
    in_order[..., 1:] = fall_short[..., :-1].cumprod(axis=-1, dtype=np.float64)
    probability = np.empty_like(in_order)
    np.put_along_axis(probability, order, in_order, axis=-1)
    return probability


def mask_set(predicted_iou: Float[np.ndarray, " proposal"], threshold: float) -> tuple[int, ...]:
    """Indices of the proposals in the set of one object, the highest predicted IoU first.

    The set has the proposals whose ``failure_ahead`` is at least ``threshold``, a result of
    ``pipeline.mask_sets.set_threshold``; with ``NOTHING``, all proposals.
    """
    order = np.argsort(-predicted_iou, kind="stable")
    return tuple(order[failure_ahead(predicted_iou)[order] >= threshold].tolist())


def offered_masks(
    best: MaskChoices, selected: MaskChoices, expected_iou: IouAtCut, calibration: ChoiceGain
) -> tuple[MaskChoices, Values]:
    """Take the ``best`` masks where their calibrated gain is above 0, elsewhere ``selected``.

    Returns
    -------
    The masks, and the calibrated gain of each over the selected mask: 0 for the selected one.
    """
    claimed = np.subtract(best.of(expected_iou), selected.of(expected_iou), dtype=np.float64)
    gain = calibration.gain_at(claimed).clip(min=0) * best.differs_from(selected)
    proposal = np.where(gain > 0, best.proposal, selected.proposal)
    return MaskChoices(proposal, np.where(gain > 0, best.cut, selected.cut)), gain
