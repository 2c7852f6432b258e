"""Inputs of measures: predictions of a model and its heads for objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
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

    Arrays have a value for each object or proposal, in double precision.
    """

    model: str
    """The model whose masks are judged."""
    own: Values
    """USAM_θ: IoU that the model's own head predicts for the judged mask of the model."""
    models: Mapping[str, Values]
    """IoU of each model's mask, from small to large; that of ``model`` is ``own``."""
    refined: Values
    """IoU after eight clicks instead of one."""
    best: Values
    """IoU of the best proposal of the model; ``own`` for heads of protocol ``best``."""
    selected: Values
    """IoU of the proposal with the highest SamScore; ``own`` for heads that learned from it."""
    gaps: Mapping[str, Values]
    """Δ: gains in IoU as differences of two expected IoUs, by correction.

    ``model`` is the gain of the largest model over the smallest, left out if the heads know one
    model; ``prompt`` that of eight clicks over one click; ``task`` that of the best proposal over
    the selected one, left out for heads of protocol ``best``, which compare none."""
    direct_gaps: Mapping[str, Values]
    """Δ*: the gains of ``gaps`` as predicted by heads that learned the gain itself."""

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


def head_predictions(
    predictions: Predictions,
    head_set: HeadSet,
    model: str,
    *,
    models: Sequence[str],
    own: Values | None = None,
) -> HeadPredictions:
    """Name the IoUs and gaps that the heads of a set predict from the tokens of a model.

    Parameters
    ----------
    predictions
        Predictions of the heads, by objective.
    model
        The model whose masks are judged.
    models
        The models that the heads know, from small to large.
    own
        IoU of the judged mask, in double precision; by default, as the heads predict it.

    Raises
    ------
    ValueError
        If the head of an objective is missing.
    """
    predicted = partial(_named, "heads", predictions)
    own = predicted(head_set.own_objective(model)) if own is None else own
    learned_best = head_set.protocol == "best"
    best = own if learned_best else predicted("iou_best")
    selected = predicted("iou_selected") if learned_best else own
    refined, gaps = predicted("iou_refined"), dict[str, Values]()
    if len(models) > 1:
        gaps["model"] = predicted(f"iou_{models[-1]}") - predicted(f"iou_{models[0]}")
    gaps["prompt"] = refined - own
    if not learned_best:
        gaps["task"] = best - selected
    return HeadPredictions(
        model,
        own,
        {name: own if name == model else predicted(f"iou_{name}") for name in models},
        refined=refined,
        best=best,
        selected=selected,
        gaps=gaps,
        direct_gaps={name: predicted(f"{name}_gap") - DIRECT_GAP_SHIFT for name in gaps},
    )


@dataclass(frozen=True)
class Evidence:
    """All that a measure of uncertainty may read about the masks of a model.

    Some measures serve for comparison and know the ground truth: ``misses_best`` and
    ``from_best_tokens`` are for these measures alone. Values are in double precision.
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

    def predicted(self, objective: str) -> Values:
        """Prediction of the head of an objective; a ValueError without this head."""
        return _named("heads", self.predictions, objective)

    @cached_property
    def heads(self) -> HeadPredictions:
        """Predictions of the heads from the tokens of the judged mask."""
        assert self.head_set is not None  # measures without heads ask for none
        models = self.scores.models
        return head_predictions(self.predictions, self.head_set, self.model, models=models)

    def direct_task_gap(self, *, is_best_known: bool = False) -> Values:
        """Δ*: gain of the best proposal over the selected one, as one head predicts it.

        ``is_best_known`` reads the tokens of the best mask instead of those of the judged one.
        """
        predictions = self.from_best_tokens if is_best_known else self.predictions
        return _named("heads", predictions or {}, "task_gap") - DIRECT_GAP_SHIFT


def _named(kind: str, arrays: Mapping[str, Values], name: str) -> Values:
    if name not in arrays:
        raise ValueError(f"{kind} must hold {name}, got {', '.join(arrays) or 'none'}")
    return arrays[name].astype(np.float64)
