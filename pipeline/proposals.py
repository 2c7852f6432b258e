"""Chooses the best or the selected proposal of a prediction, and looks up its IoU and SamScore."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Values = Float[np.ndarray, "object"]
"""A number for each object."""


def judged_proposals(
    judged: str,
    *,
    iou: Float[np.ndarray, "*batch proposal"],
    sam_score: Float[np.ndarray, "*batch proposal"],
) -> Int[np.ndarray, "*batch"]:
    """Index of the ``best`` (highest IoU) or the ``selected`` proposal (highest SamScore).

    The first of equal proposals.
    """
    chosen: Int[np.ndarray, "*batch"] = {"best": iou, "selected": sam_score}[judged].argmax(axis=-1)
    return chosen


@dataclass(frozen=True)
class ProposalScores:
    """IoUs and SamScores of a model's proposals in one view, for a prompt set and ``refined``."""

    iou: Float[np.ndarray, "object proposal"]
    sam_score: Float[np.ndarray, "object proposal"]
    refined_iou: Float[np.ndarray, "object proposal"]
    refined_sam_score: Float[np.ndarray, "object proposal"]
    iou_at_cut: Float[np.ndarray, "object proposal cut"] | None = None
    """IoU of each proposal at each of ``CUTS``; None if it was not read."""

    @property
    def cuts(self) -> Float[np.ndarray, "object proposal cut"]:
        """The array ``iou_at_cut``, which must have been read (an assertion)."""
        assert self.iou_at_cut is not None
        return self.iou_at_cut

    def judged_iou(self, judged: str) -> Values:
        """IoU of the ``best`` or the ``selected`` proposal."""
        return self.of_judged(self.iou, judged)

    def judged_refined_iou(self, judged: str) -> Values:
        """IoU of the ``best`` or the ``selected`` proposal of ``refined``, all eight clicks."""
        return _of_judged(self.refined_iou, self.refined_iou, self.refined_sam_score, judged)

    def judged_sam_score(self, judged: str) -> Values:
        """SamScore of the ``best`` or the ``selected`` proposal."""
        return self.of_judged(self.sam_score, judged)

    def of_judged(self, values: Float[np.ndarray, "object proposal"], judged: str) -> Values:
        """Each object's value of its ``best`` or its ``selected`` proposal."""
        return _of_judged(values, self.iou, self.sam_score, judged)

    def by_proposal(self) -> dict[str, Values]:
        """IoU of the best and of the selected proposal, by name.

        The names are ``best`` and ``selected`` for the prompt set, ``refined`` (best) and
        ``refined_selected`` for all eight clicks together.
        """
        return {
            "best": self.judged_iou("best"),
            "selected": self.judged_iou("selected"),
            "refined": self.judged_refined_iou("best"),
            "refined_selected": self.judged_refined_iou("selected"),
        }


def _of_judged(
    values: Float[np.ndarray, "object proposal"],
    iou: Float[np.ndarray, "object proposal"],
    sam_score: Float[np.ndarray, "object proposal"],
    judged: str,
) -> Values:
    chosen = judged_proposals(judged, iou=iou, sam_score=sam_score)
    return np.take_along_axis(values, chosen[:, np.newaxis], axis=1)[:, 0]
