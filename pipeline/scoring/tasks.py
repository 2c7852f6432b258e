"""The four corrections that a measure should predict, and the measures of the masks they judge."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from pipeline.heads.kinds import HeadSet
from pipeline.proposals import Values
from pipeline.scoring.evidence import Evidence, ModelScores
from pipeline.scoring.measures import MEASURES
from pipeline.scoring.scores import Keys
from pipeline.vocabulary import JUDGED, PROTOCOLS, TASKS


@dataclass(frozen=True)
class Correction:
    """IoU of every object before and after one kind of correction."""

    iou: Float[np.ndarray, "object"]
    corrected_iou: Float[np.ndarray, "object"]

    @property
    def gain(self) -> Float[np.ndarray, "object"]:
        """IoU that the correction adds, in double precision."""
        gain: Float[np.ndarray, "object"] = np.subtract(
            self.corrected_iou, self.iou, dtype=np.float64
        )
        return gain


REFINED: Final = {"best": "refined", "selected": "refined_selected"}
"""The judged mask of eight clicks by protocol, as ``ProposalScores.by_proposal`` names it."""

Ious = Mapping[str, Mapping[str, Float[np.ndarray, "object"]]]
"""By model, the smallest first: IoU of every object's mask, as ``ProposalScores.by_proposal``."""


def ious_of(models: Mapping[str, ModelScores]) -> Ious:
    """IoU of every model's judged masks."""
    return {model: scores.proposals.by_proposal() for model, scores in models.items()}


def judged_proposal(protocol: str, task: str) -> str:
    """The proposal whose mask counts before the correction.

    Measures are computed from its SamScore, entropies and tokens. It is the selected proposal in
    the task *task*, which corrects the selection, and in the protocol without ground truth.
    """
    return "selected" if task == "task" else protocol


JUDGED_BY_PROTOCOL: Final = tuple(
    (protocol, judged)
    for protocol in PROTOCOLS
    for judged in JUDGED
    if judged in {judged_proposal(protocol, task) for task in TASKS}
)
"""The proposals that each protocol judges in any task."""


def corrections(ious: Ious, model: str, protocol: str) -> dict[str, Correction]:
    """The correction of each task for one model; task *model* needs two models or more.

    Notes
    -----
    Model: the smallest to the largest. Prompt: ``center`` to ``refined``. Task: selected to best.
    Segmentation: the model's mask to the truth. Except in *task*, masks are the best or the
    selected ones, as the protocol is called.
    """
    iou, refined_iou = ious[model][protocol], ious[model][REFINED[protocol]]
    tasks = {
        "prompt": Correction(iou, refined_iou),
        "task": Correction(ious[model]["selected"], ious[model]["best"]),
        "segmentation": Correction(iou, np.ones_like(iou)),
    }
    models = list(ious)
    if len(models) > 1:
        ends = Correction(ious[models[0]][protocol], ious[models[-1]][protocol])
        return {"model": ends} | tasks
    return tasks


def default_corrections(ious: Ious, protocol: str) -> Iterator[tuple[str, str, Correction]]:
    """Each task that the models allow, its default model, and the correction of that model."""
    for task in TASKS:
        model = default_model(task, tuple(ious))
        correction = corrections(ious, model, protocol).get(task)
        if correction is not None:
            yield task, model, correction


def default_model(task: str, models: Sequence[str]) -> str:
    """The model whose measures the paper's table of a task shows; models come from small to large.

    It is the smallest, which would be corrected; for segmentation, the largest.
    """
    return models[-1] if task == "segmentation" else models[0]


def shown_model(models: Sequence[str]) -> str:
    """The model that report tables and figures show: the largest, which comes last."""
    return default_model("segmentation", models)


Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Applies a function to every item, as ``map`` does: results come in the order of the items."""


@dataclass(frozen=True)
class JudgedMasks:
    """Masks of one model that a protocol judges in some task, and every measure of them."""

    protocol: str
    judged: str
    """The proposal: ``best`` or ``selected``."""
    model: str
    scores: ModelScores

    def keys(self, train_split: str, measure: str, **more: Any) -> Keys:  # noqa: ANN401 - of keys
        """Keys of a score of a measure of these masks."""
        keys = Keys(protocol=self.protocol, model=self.model)
        return replace(keys, train_split=train_split, measure=measure, **more)

    @property
    def iou(self) -> Values:
        """True IoU of each mask, in double precision."""
        return self.scores.proposals.judged_iou(self.judged).astype(np.float64)

    @property
    def measures(self) -> dict[tuple[str, str], Values]:
        """Every measure by (train split, name), computed at each call.

        The heads are those of the protocol that read the tokens of the judged proposal; the train
        split of measures without heads is ``""``. Measures of all masks, held at once, would take
        most of the memory of a large split.

        Raises
        ------
        ValueError
            If an entropy or a head is missing.
        """
        return {
            (train_split, name): value
            for (train_split, tokens, name), value in self.measures_of_tokens.items()
            if tokens in {"", self.judged}
        }

    @property
    def measures_of_tokens(self) -> dict[tuple[str, str, str], Values]:
        """Every measure, with heads of all token sets, by (train split, tokens, name).

        Heads that read the tokens of a proposal other than the judged one are left out: they would
        know about that proposal, which the other measures do not.
        """
        untrained = measures_of(Evidence(self.model, self.judged, self.scores))
        measures = {("", "", name): value for name, value in untrained.items()}
        for train_split, head_set, by_objective in self._predictions():
            evidence = Evidence(self.model, self.judged, self.scores, head_set, by_objective)
            measures |= {
                (train_split, head_set.tokens, name): value
                for name, value in measures_of(evidence).items()
            }
        return measures

    def _predictions(self) -> Iterator[tuple[str, HeadSet, Mapping[str, Values]]]:
        """Predictions of heads for the judged proposal: by tokens, then train split, then kind."""
        predictions = self.scores.predictions
        by_tokens: dict[str, list[HeadSet]] = {}
        for head_set in predictions:
            if head_set.protocol == self.protocol and head_set.tokens.startswith(self.judged):
                by_tokens.setdefault(head_set.tokens, []).append(head_set)
        for of_tokens in by_tokens.values():
            for train_split, head_set in product(predictions[of_tokens[0]], of_tokens):
                yield train_split, head_set, predictions[head_set][train_split]


def judged_masks(models: Mapping[str, ModelScores]) -> list[JudgedMasks]:
    """All masks that are judged, by protocol, proposal and model."""
    return [
        JudgedMasks(protocol, judged, model, scores)
        for protocol, judged in JUDGED_BY_PROTOCOL
        for model, scores in models.items()
    ]


def own_masks(masks: Iterable[JudgedMasks]) -> list[JudgedMasks]:
    """Masks of the proposal that their protocol is named after; *task* may judge another one."""
    return [judged for judged in masks if judged.judged == judged.protocol]


def of_largest(masks: Sequence[JudgedMasks]) -> list[JudgedMasks]:
    """Masks of the model that report tables and figures show."""
    largest = shown_model([judged.model for judged in masks])
    return [judged for judged in masks if judged.model == largest]


def measures_of(evidence: Evidence) -> dict[str, Values]:
    """Measures that are shown for the judged proposal: of the evidence's heads, or without heads.

    Raises
    ------
    ValueError
        If an entropy, an agreement or a head of a measure is missing.
    """
    kind = evidence.head_set.kind if evidence.head_set else ""
    agreements = evidence.scores.agreements[evidence.judged]
    return {
        measure.name: measure.compute(evidence)
        for measure in MEASURES
        if measure.heads == kind
        and measure.judged in {"", evidence.judged}
        and measure.is_known(evidence.scores.models, agreements)
    }
