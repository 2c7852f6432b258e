"""What a model predicts for the objects of a split: all that measures are computed from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.heads.kinds import HeadSet
from pipeline.proposals import ProposalScores, Values

Predictions = Mapping[str, Mapping[str, Values]]
"""What heads predict from one model's tokens: train split -> objective -> value in [0, 1]."""


@dataclass(frozen=True)
class ModelScores:
    """One model's predictions in the identity view, and what all heads predict from its tokens.

    To compute measures from something new, add a field.
    """

    proposals: ProposalScores
    entropies: Mapping[str, Mapping[str, Values]]
    """In bits, by judged proposal, then by name in the entropy store."""
    agreements: Mapping[str, Mapping[str, Values]]
    """Likewise, of masks with each other or of a mask with itself; 1 if they are the same."""
    predictions: Mapping[HeadSet, Predictions]
    largest: ProposalScores
    """Of the same objects, by the largest model of those that are asked."""
    models: tuple[str, ...]
    """Those that are evaluated, or that the heads know, from small to large."""


@dataclass(frozen=True)
class Evidence:
    """All that is known about every object from one model and one set of heads.

    The only argument of a measure.
    """

    model: str
    judged: str
    """The proposal that is judged: ``best`` or ``selected``."""
    scores: ModelScores
    head_set: HeadSet | None = None
    predictions: Mapping[str, Values] = field(default_factory=dict)
    """Predictions of the set's heads from one train split, by objective."""

    def sam_score(self) -> Values:
        """SamScore of the judged proposal, in double precision."""
        return self.scores.proposals.judged_sam_score(self.judged).astype(np.float64)

    def highest_sam_score(self) -> Values:
        """The highest SamScore of the three proposals, in double precision."""
        highest: Values = self.scores.proposals.sam_score.max(axis=1).astype(np.float64)
        return highest

    def largest_sam_score(self) -> Values:
        """SamScore of the judged proposal of the largest model, in double precision."""
        return self.scores.largest.judged_sam_score(self.judged).astype(np.float64)

    def entropy(self, name: str) -> Values:
        """An entropy in double precision, in bits.

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        return _named("entropies", self.scores.entropies[self.judged], name)

    def agreement(self, name: str) -> Values:
        """An agreement of masks in double precision, 1 if they are the same.

        Raises
        ------
        ValueError
            If there is none of that name.
        """
        return _named("agreements", self.scores.agreements[self.judged], name)

    def head(self, objective: str) -> Values:
        """What the head of an objective predicts, in double precision.

        Raises
        ------
        ValueError
            If there is no such head.
        """
        return _named("heads", self.predictions, objective)

    def own_iou(self) -> Values:
        """IoU that this model's own head predicts for its judged proposal: USAM_θ."""
        return self.head(f"iou_{self.model}")

    def larger_gain(self) -> Values:
        """What the heads predict that the largest model's mask has over the smallest one's."""
        largest, smallest = (self.head(f"iou_{self.scores.models[place]}") for place in (-1, 0))
        gain: Values = largest - smallest
        return gain

    def best_iou(self) -> Values:
        """IoU that the heads predict for the model's best proposal."""
        return self.own_iou() if self._learned_best() else self.head("iou_best")

    def selected_iou(self) -> Values:
        """IoU that the heads predict for the model's selected proposal."""
        return self.head("iou_selected") if self._learned_best() else self.own_iou()

    def _learned_best(self) -> bool:
        return self.head_set is None or self.head_set.protocol == "best"


def _named(what: str, known: Mapping[str, Values], name: str) -> Values:
    if name not in known:
        raise ValueError(f"{what} must hold {name}, got {', '.join(known) or 'none'}")
    return known[name].astype(np.float64)
