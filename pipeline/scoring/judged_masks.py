"""The measures of the masks that a protocol judges."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from pipeline.heads.kinds import HeadSet
from pipeline.scoring.evidence import Evidence, Heads, ModelScores, ProposalScores, Values
from pipeline.scoring.measures import MEASURES
from pipeline.scoring.tasks import JUDGED_BY_PROTOCOL
from pipeline.vocabulary import N_PROPOSALS

T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class Each(Protocol):
    """Does the same work for each of some items, as ``map`` does: results come in their order."""

    def __call__(self, work: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]:
        """Return what ``work`` gives for each item."""
        ...


@dataclass(frozen=True)
class JudgedMasks:
    """Masks of one model that a protocol judges in some task, and every measure of them."""

    protocol: str
    judged: str
    """The proposal: ``best`` or ``selected``."""
    model: str
    scores: ModelScores

    @property
    def iou(self) -> Values:
        """True IoU of each mask, in double precision."""
        return self.scores.proposals.judged_iou(self.judged).astype(np.float64)

    @property
    def measures(self) -> dict[tuple[str, str], Values]:
        """Every measure by (train split, name), computed anew each time.

        The heads are those of the protocol that read the tokens of the judged proposal; the train
        split of measures without heads is ``""``. Those of all masks, kept, would be most of what a
        large split holds in memory.

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
        """The same, but with heads of all token sets, by (train split, tokens, name).

        Heads that read the tokens of a proposal other than the judged one are left out: they would
        know what the other measures do not.
        """
        untrained = measures_of(self.scores.evidence(self.model, self.judged))
        found = {("", "", name): value for name, value in untrained.items()}
        for train_split, head_set, by_objective in self._predictions():
            heads = Heads(self.protocol, by_objective, head_set.kind)
            own = measures_of(self.scores.evidence(self.model, self.judged, heads))
            found |= {(train_split, head_set.tokens, name): own[name] for name in own}
        return found

    def _predictions(self) -> Iterator[tuple[str, HeadSet, Mapping[str, Values]]]:
        """What heads predict of the judged proposal: by tokens, then train split, then kind."""
        own = {
            head_set: predictions
            for head_set, predictions in self.scores.predictions.items()
            if head_set.protocol == self.protocol and head_set.tokens.startswith(self.judged)
        }
        for tokens in dict.fromkeys(head_set.tokens for head_set in own):
            of_tokens = {one: found for one, found in own.items() if one.tokens == tokens}
            for train_split in next(iter(of_tokens.values())):
                for head_set, by_split in of_tokens.items():
                    yield train_split, head_set, by_split[train_split]


def judged_masks(models: Mapping[str, ModelScores]) -> list[JudgedMasks]:
    """All masks that are judged, by protocol, proposal and model."""
    return [
        JudgedMasks(protocol, judged, model, scores)
        for protocol, judged in JUDGED_BY_PROTOCOL
        for model, scores in models.items()
    ]


def own_masks(masks: Iterable[JudgedMasks]) -> list[JudgedMasks]:
    """Those of the proposal that a protocol is named after; the task *task* may judge another."""
    return [one for one in masks if one.judged == one.protocol]


def measures_of(evidence: Evidence) -> dict[str, Values]:
    """Measures that are shown for the judged proposal: from the given heads, or those without.

    Raises
    ------
    ValueError
        If something that a measure is computed from is missing.
    """
    kind = evidence.heads.kind if evidence.heads else ""
    return {
        measure.name: measure.compute(evidence)
        for measure in MEASURES
        if measure.heads == kind and measure.judged in {"", evidence.judged}
    }


def heads_read(model: str, head_set: HeadSet) -> frozenset[str]:
    """Objectives that the measures of a model's masks take from a set."""
    predictions = _Noting(dict.fromkeys(head_set.objectives, np.empty(0)))
    heads = Heads(head_set.protocol, predictions, head_set.kind)
    proposals = ProposalScores(*np.empty((4, 0, N_PROPOSALS)))
    judged = head_set.tokens.partition("_")[0]
    measures_of(Evidence(model, judged, proposals, {}, {}, heads))
    return frozenset(predictions.read)


class _Noting(dict[str, Values]):
    """Predictions of no object, and which of them are read."""

    def __init__(self, predictions: Mapping[str, Values]) -> None:
        super().__init__(predictions)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Values:
        self.read.add(name)
        return super().__getitem__(name)
