"""Inputs of measures: predictions of a model and its heads for objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from pipeline.heads.kinds import HeadSet
from pipeline.proposals import ProposalScores, Values
from pipeline.vocabulary import JUDGED, N_PROPOSALS

Predictions = Mapping[str, Values]
"""Predictions of a head set from one model's tokens, by objective, in [0, 1]."""

HeadsOfSplit = tuple[HeadSet, str]
"""A head set, and the train split that its heads learned from."""


@dataclass(frozen=True)
class ModelScores:
    """Inputs of all measures of one model's masks, for the objects of a split.

    They are the model's predictions in the view ``identity`` and those of the heads that read its
    tokens. They include the true IoUs. A measure that needs other inputs needs a new field here.
    """

    proposals: ProposalScores
    arrays: Mapping[str, Mapping[str, Values]]
    """Arrays about the judged masks by judged proposal, then by name: entropies in bits, agreements
    of masks, and agreements of a mask with its probabilities; 1 is full agreement."""
    predictions: Mapping[HeadsOfSplit, Predictions]
    """Predictions of all heads from the tokens of the model."""
    largest: ProposalScores
    """Proposals of the same objects by the largest model."""
    models: tuple[str, ...]
    """The evaluated models, or the models that the heads know, from small to large."""


DIRECT_GAP_SHIFT: Final = 0.5
"""Number that targets of heads add to a gap, so that a gap of 0 is learned as 0.5."""


@dataclass(frozen=True)
class HeadPredictions:
    """IoUs and gaps that one head set predicts from the tokens of one model.

    Arrays have a value for each object or proposal, in double precision. An attribute raises a
    ValueError if the head set has no head of an objective that it needs.
    """

    model: str
    """The model whose masks are judged."""
    known_models: tuple[str, ...]
    """The models that the heads know, from small to large."""
    head_set: HeadSet | None
    """None if there are no heads."""
    by_objective: Mapping[str, Values]
    """Predictions in [0, 1], by objective."""

    def of(self, rows: slice) -> "HeadPredictions":
        """Predictions for some of the objects or proposals."""
        return replace(self, by_objective={k: v[rows] for k, v in self.by_objective.items()})

    def predicted(self, objective: str) -> Values:
        """Predictions of the head of an objective; a ValueError without this head."""
        return _named("heads", self.by_objective, objective)

    @property
    def own(self) -> Values:
        """USAM_θ: IoU that the model's own head predicts for the judged mask of the model."""
        return self.predicted(self._own_objective)

    def with_own(self, own: Values) -> "HeadPredictions":
        """The same predictions with another ``own``."""
        return replace(self, by_objective={**self.by_objective, self._own_objective: own})

    @property
    def _own_objective(self) -> str:
        named = f"iou_{self.model}"
        return self.head_set.own_objective(self.model) if self.head_set else named

    @property
    def models(self) -> dict[str, Values]:
        """IoU of each model's mask, from small to large; that of ``model`` is ``own``."""
        return {
            model: self.own if model == self.model else self.predicted(f"iou_{model}")
            for model in self.known_models
        }

    @property
    def refined(self) -> Values:
        """IoU after eight clicks instead of one."""
        return self.predicted("iou_refined")

    @property
    def best(self) -> Values:
        """IoU of the best proposal of the model; ``own`` for heads of protocol ``best``."""
        return self.own if self.learned_best else self.predicted("iou_best")

    @property
    def selected(self) -> Values:
        """IoU of the proposal with the highest SamScore; ``own`` for heads that learned from it."""
        return self.predicted("iou_selected") if self.learned_best else self.own

    @property
    def learned_best(self) -> bool:
        """Whether the heads learned from the best of three proposals, so that they compare none."""
        return self.head_set is None or self.head_set.protocol == "best"

    @property
    def by_name(self) -> dict[str, Values]:
        """All expected IoUs: ``own``, each model's name, ``refined``, ``best`` and ``selected``."""
        return {
            "own": self.own,
            **self.models,
            "refined": self.refined,
            "best": self.best,
            "selected": self.selected,
        }

    def model_gap(self) -> Values:
        """Δ_Θ: predicted IoU of the largest model less the predicted IoU of the smallest model."""
        largest, smallest = (self.predicted(f"iou_{self.known_models[i]}") for i in (-1, 0))
        gap: Values = largest - smallest
        return gap

    def prompt_gap(self) -> Values:
        """Δ_Xp: predicted IoU of eight clicks less the predicted IoU of the judged mask."""
        gap: Values = self.refined - self.own
        return gap

    def task_gap(self) -> Values:
        """Δ_A: predicted IoU of the best proposal less the predicted IoU of the selected one."""
        gap: Values = self.best - self.selected
        return gap

    def direct_gap(self, objective: str) -> Values:
        """Δ*: the gap that the head of an objective predicts directly, in [-0.5, 0.5]."""
        gap: Values = self.predicted(objective) - DIRECT_GAP_SHIFT
        return gap

    @property
    def gaps(self) -> dict[str, Values]:
        """Δ: gains in IoU as differences of two expected IoUs, by correction.

        ``model`` is the gain of the largest model over the smallest, left out if the heads know one
        model; ``prompt`` that of eight clicks over one click; ``task`` that of the best proposal
        over the selected one, left out for heads of protocol ``best``.
        """
        gap_of = {"model": self.model_gap, "prompt": self.prompt_gap, "task": self.task_gap}
        return {name: gap_of[name]() for name in self._compared}

    @property
    def direct_gaps(self) -> dict[str, Values]:
        """Δ*: the gains of ``gaps`` as predicted by heads that learned the gain itself."""
        return {name: self.direct_gap(f"{name}_gap") for name in self._compared}

    @property
    def _compared(self) -> list[str]:
        """Corrections whose gains the heads predict."""
        is_known = {
            "model": len(self.known_models) > 1,
            "prompt": True,
            "task": not self.learned_best,
        }
        return [name for name, known in is_known.items() if known]

    def values_of(self, index: int) -> dict[str, dict[str, float]]:
        """Expected IoUs and gaps of one object or proposal, for JSON.

        The keys are ``expected_iou``, ``gap`` and ``direct_gap``, then the names of ``by_name``.
        """
        kinds = {
            "expected_iou": self.by_name,
            "gap": self.gaps,
            "direct_gap": self.direct_gaps,
        }
        return {
            kind: {name: float(values[index]) for name, values in of_kind.items()}
            for kind, of_kind in kinds.items()
        }


@dataclass(frozen=True)
class Evidence:
    """All that a measure of uncertainty may read about the masks of a model.

    Some measures serve for comparison and know the ground truth: ``misses_best`` and
    ``heads_of_best`` are for these measures alone. Values are in double precision.
    """

    model: str
    judged: str
    """The judged proposal: ``best`` or ``selected``."""
    scores: ModelScores
    head_set: HeadSet | None = None
    predictions: Mapping[str, Values] = field(default_factory=dict)
    """Predictions of the head set from one train split, by objective; empty without heads."""
    from_best_tokens: Mapping[str, Values] | None = None
    """Predictions of the same heads from the tokens of the best masks; None where measures must not
    know the ground truth."""

    def sam_score(self) -> Values:
        """SamScore of the judged proposal."""
        return self.scores.proposals.judged_sam_score(self.judged).astype(np.float64)

    def highest_sam_score(self) -> Values:
        """The highest SamScore of the three proposals."""
        highest: Values = self.scores.proposals.sam_score.max(axis=1).astype(np.float64)
        return highest

    def largest_sam_score(self) -> Values:
        """SamScore of the largest model for its judged proposal."""
        return self.scores.largest.judged_sam_score(self.judged).astype(np.float64)

    def array(self, name: str) -> Values:
        """Entropy or agreement of the judged proposal; a ValueError if it is missing."""
        return _named("entropies and agreements", self.scores.arrays[self.judged], name)

    def misses_best(self) -> Values:
        """1 for an object whose selected proposal is not the best by the ground truth, else 0."""
        number = np.broadcast_to(np.arange(float(N_PROPOSALS)), self.scores.proposals.iou.shape)
        best, selected = (self.scores.proposals.of_judged(number, judged) for judged in JUDGED)
        is_missed: Values = (best != selected).astype(np.float64)
        return is_missed

    @property
    def heads(self) -> HeadPredictions:
        """Predictions of the heads from the tokens of the judged mask."""
        return HeadPredictions(self.model, self.scores.models, self.head_set, self.predictions)

    @property
    def heads_of_best(self) -> HeadPredictions:
        """Predictions of the heads from the tokens of the best mask."""
        predictions = self.from_best_tokens or {}
        return HeadPredictions(self.model, self.scores.models, self.head_set, predictions)


def _named(kind: str, arrays: Mapping[str, Values], name: str) -> Values:
    if name not in arrays:
        raise ValueError(f"{kind} must hold {name}, got {', '.join(arrays) or 'none'}")
    return arrays[name].astype(np.float64)
