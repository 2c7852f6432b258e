"""The four corrections that a measure should predict, and all measures of the judged masks."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from pipeline.heads.kinds import ISOTONIC, HeadSet
from pipeline.proposals import Values
from pipeline.scoring.evidence import Evidence, HeadsOfSplit, ModelScores
from pipeline.scoring.measures import BASELINE, BY_NAME, MEASURES
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
"""For each protocol, the name of the mask from eight clicks in ``ProposalScores.by_proposal``."""

Ious = Mapping[str, Mapping[str, Float[np.ndarray, "object"]]]
"""For each model, the smallest first, the IoUs of ``ProposalScores.by_proposal``."""


def ious_of(models: Mapping[str, ModelScores]) -> Ious:
    """IoUs of every model's masks, by model, then by name as in ``ProposalScores.by_proposal``."""
    return {model: scores.proposals.by_proposal() for model, scores in models.items()}


def judged_proposal(protocol: str, task: str) -> str:
    """The proposal whose mask a task corrects, and whose score and tokens measures read.

    ``selected`` for the task ``task``, which corrects the selection; otherwise the protocol's name,
    ``best`` or ``selected``.
    """
    return "selected" if task == "task" else protocol


JUDGED_BY_PROTOCOL: Final = tuple(
    (protocol, judged)
    for protocol in PROTOCOLS
    for judged in JUDGED
    if judged in {judged_proposal(protocol, task) for task in TASKS}
)
"""Pairs of a protocol and a proposal that it judges in at least one task."""


def corrections(ious: Ious, model: str, protocol: str) -> dict[str, Correction]:
    """The correction of each task for one model, by task; with a single model, without ``model``.

    ``model`` replaces the smallest model by the largest, ``prompt`` replaces ``center`` by
    ``refined``, ``task`` replaces the selected proposal by the best, and ``segmentation`` replaces
    the model's mask by the ground truth. Except in ``task``, the protocol names the proposal.
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
    """Yield, for each task that the models allow, its name, default model and correction."""
    for task in TASKS:
        model = default_model(task, tuple(ious))
        correction = corrections(ious, model, protocol).get(task)
        if correction is not None:
            yield task, model, correction


def default_model(task: str, models: Sequence[str]) -> str:
    """The model whose measures the paper's table of a task shows, of models from small to large.

    It is the smallest model, which a correction would help; for ``segmentation``, the largest.
    """
    return models[-1] if task == "segmentation" else models[0]


def shown_model(models: Sequence[str]) -> str:
    """The model that report tables and figures show: the largest, of models from small to large."""
    return default_model("segmentation", models)


Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Applies a function to every item, like ``map``; results come in the order of the items."""


@dataclass(frozen=True)
class JudgedMasks:
    """IoUs and measures of one model's masks in a protocol: one mask per object of a split."""

    protocol: str
    judged: str
    """The judged proposal: ``best`` or ``selected``."""
    model: str
    scores: ModelScores
    seed: int | None = None
    """Seed of the heads' training if it is not the first; then 1 - SamScore is the only measure
    without heads."""
    measured: Collection[str] = tuple(BY_NAME)
    """Names of the measures to compute, as far as they are known."""

    def keys(self, train_split: str, measure: str, **more: Any) -> Keys:  # noqa: ANN401 - of keys
        """Keys of a score of one measure of these masks, with further keys if given."""
        keys = Keys(protocol=self.protocol, seed=self.seed, model=self.model)
        return replace(keys, train_split=train_split, measure=measure, **more)

    @property
    def iou(self) -> Values:
        """True IoU of each judged mask, in double precision."""
        return self.scores.proposals.judged_iou(self.judged).astype(np.float64)

    @property
    def measures(self) -> dict[tuple[str, str], Values]:
        """Every measure by (train split, name); the train split is ``""`` without heads.

        Measures of heads come from the protocol's heads that read both tokens of the judged
        proposal. Measures are computed at each call: kept for all masks of a large split, they
        would take most of the memory. Raises a ValueError if an entropy, an agreement or a head is
        missing.
        """
        return {
            (train_split, name): value
            for (train_split, tokens, name), value in self.measures_of_tokens.items()
            if tokens in {"", self.judged}
        }

    @property
    def measures_of_tokens(self) -> dict[tuple[str, str, str], Values]:
        """Every measure by (train split, tokens, name), for heads of all token sets.

        Train split and tokens are ``""`` without heads. Heads that read the tokens of another
        proposal than the judged one are left out: they would know about a proposal that other
        measures do not know. Raises a ValueError if an entropy, an agreement or a head is missing.
        """
        evidence = Evidence(
            self.model, self.judged, self.scores, from_best_tokens=self._from_best_tokens("", None)
        )
        untrained = measures_of(evidence, self.measured)
        measures = {
            ("", "", name): value
            for name, value in untrained.items()
            if self.seed is None or name == BASELINE
        }
        for head_set, train_split in self._heads():
            evidence = replace(
                evidence,
                head_set=head_set,
                predictions=self.scores.predictions[head_set, train_split],
                from_best_tokens=self._from_best_tokens(train_split, head_set),
            )
            measures |= {
                (train_split, head_set.tokens, name): value
                for name, value in measures_of(evidence, self.measured).items()
            }
        return measures

    def _from_best_tokens(
        self, train_split: str, head_set: HeadSet | None
    ) -> Mapping[str, Values] | None:
        """Predictions of a head set from the tokens of the best masks, by objective.

        None unless selected masks of protocol ``best`` are judged, as in its task ``task``. Empty
        without heads, and for the isotonic regression.
        """
        if (self.protocol, self.judged) != ("best", "selected"):
            return None
        if head_set is None or head_set.kind == ISOTONIC:
            return {}
        of_best = replace(head_set, tokens=head_set.tokens.replace("selected", "best"))
        return self.scores.predictions[of_best, train_split]

    def _heads(self) -> list[HeadsOfSplit]:
        """Heads that judge these masks, in the order of tokens, then train split, then kind."""
        heads = [
            (head_set, train_split)
            for head_set, train_split in self.scores.predictions
            if (head_set.protocol, head_set.seed) == (self.protocol, self.seed)
            and head_set.tokens.startswith(self.judged)
        ]
        tokens = list(dict.fromkeys(head_set.tokens for head_set, _ in heads))
        splits = list(dict.fromkeys(train_split for _, train_split in heads))
        return sorted(heads, key=lambda of: (tokens.index(of[0].tokens), splits.index(of[1])))


def judged_masks(models: Mapping[str, ModelScores]) -> list[JudgedMasks]:
    """The judged masks of every protocol, judged proposal and model, in this order.

    Their measures come from heads of the first seed.
    """
    return [
        JudgedMasks(protocol, judged, model, scores)
        for protocol, judged in JUDGED_BY_PROTOCOL
        for model, scores in models.items()
    ]


def trained_masks(models: Mapping[str, ModelScores]) -> list[JudgedMasks]:
    """All judged masks with the measures of the first seed, then with those of each other seed."""
    heads = next(iter(models.values())).predictions
    further_seeds = dict.fromkeys(h.seed for h, _ in heads if h.seed is not None)
    masks = judged_masks(models)
    return [*masks, *(replace(judged, seed=seed) for seed in further_seeds for judged in masks)]


def own_masks(masks: Iterable[JudgedMasks]) -> list[JudgedMasks]:
    """Select the masks whose judged proposal has the name of their protocol.

    The other masks are judged by the task ``task`` alone.
    """
    return [judged for judged in masks if judged.judged == judged.protocol]


def measures_of(
    evidence: Evidence, measured: Collection[str] = tuple(BY_NAME)
) -> dict[str, Values]:
    """Compute, by name, the measures of the evidence's heads or, without heads, all untrained ones.

    A measure is left out if it is not in ``measured`` or not shown for the judged proposal, or if
    the models or the agreement that it needs are missing. Raises a ValueError if another input is
    missing.
    """
    kind = evidence.head_set.kind if evidence.head_set else ""
    return {
        measure.name: measure.compute(evidence)
        for measure in MEASURES
        if measure.name in measured
        and measure.heads == kind
        and measure.judged in {"", evidence.judged}
        and (not measure.knows_truth or evidence.from_best_tokens is not None)
        and measure.is_known(evidence.scores.models, evidence.scores.arrays[evidence.judged])
    }
