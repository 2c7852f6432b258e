"""How well measures predict corrections and models segment, with intervals over groups."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.auc import CorrectionAuc, correction_auc
from pipeline.result_rows import AucRow, Interval, IouRow
from pipeline.scoring.bootstrap import (
    Resamples,
    interval,
    resampled_areas,
    resampled_means,
)
from pipeline.scoring.evidence import ModelScores, ProposalScores
from pipeline.scoring.measured import Each, every_measure, one_by_one
from pipeline.scoring.tasks import (
    JUDGED_BY_PROTOCOL,
    REFINED,
    Correction,
    corrections,
    ious_of,
    judged_proposal,
)
from pipeline.vocabulary import JUDGED, PROTOCOLS, TASKS

BASELINE: Final = ("", "", "sam_score")
"""Train split, tokens and name of the measure that others are compared with, of the same mask."""

MeasureKey = tuple[str, str, str]
"""Train split, tokens and name of a measure; the first two are empty for those without heads."""


_JUDGED_OF: Final = {name: name for name in JUDGED} | {REFINED[name]: name for name in JUDGED}
"""Which proposal is judged, by the names of masks of one click and of eight."""


def auc_rows(
    models: Mapping[str, ModelScores],
    resamples: Resamples,
    advance: Callable[[int], None] = lambda _: None,
    each: Each = one_by_one,
) -> list[AucRow]:
    """AUC of every protocol, task, model and measure, with the heads of every token set.

    Parameters
    ----------
    advance
        Called with 1 after each measure of ``n_measures``.
    each
        How the measures of a model are gone through.

    Raises
    ------
    ValueError
        If the models' objects differ in number, an entropy or a head is missing, or a measure is
        NaN for an object.
    """
    ious = ious_of(models)
    rows: list[AucRow] = []
    for protocol, judged in JUDGED_BY_PROTOCOL:
        for model, scores in models.items():
            tasks = {
                task: correction
                for task, correction in corrections(ious, model, protocol).items()
                if judged_proposal(protocol, task) == judged
            }
            measures = every_measure(scores, model, protocol=protocol, judged=judged)
            _check_measures(measures, model)
            asked = _Asked(protocol, model, judged, tasks)
            work = partial(_areas, tasks=tasks, resamples=resamples)
            areas = {}
            for key, area in zip(measures, each(work, measures.values()), strict=True):
                areas[key] = area
                advance(1)
            rows += _rows_of_model(asked, areas, resamples)
    return sorted(rows, key=lambda row: (PROTOCOLS.index(row.protocol), TASKS.index(row.task)))


def n_measures(models: Mapping[str, ModelScores]) -> int:
    """Number of measures of all models, each resampled for all tasks at once."""
    return sum(
        len(every_measure(scores, model, protocol=protocol, judged=judged))
        for protocol, judged in JUDGED_BY_PROTOCOL
        for model, scores in models.items()
    )


def iou_rows(
    scores: Mapping[tuple[str, str], ProposalScores], resamples: Resamples
) -> Iterator[IouRow]:
    """Mean IoU of every model, view and proposal.

    Parameters
    ----------
    scores
        By model and view; a model's first view is the one that its others are compared with.
    """
    columns = {
        (model, view, proposal): iou.astype(np.float64)
        for (model, view), said in scores.items()
        for proposal, iou in said.by_proposal().items()
    }
    means = resampled_means(np.stack(list(columns.values()), axis=1), resamples)
    resampled = dict(zip(columns, means.T, strict=True))
    start: dict[tuple[str, str], tuple[str, str, str]] = {}
    for key, iou in columns.items():
        model, _, proposal = key
        # Masks of one click come before those of eight.
        first = start.setdefault((model, _JUDGED_OF[proposal]), key)
        yield IouRow(
            *key,
            mean_iou=float(iou.mean()),
            mean_iou_interval=interval(resampled[key]),
            gain=float(iou.mean() - columns[first].mean()),
            gain_interval=interval(resampled[key] - resampled[first]),
        )


@dataclass(frozen=True)
class _Areas:
    """Areas of one measure in each task: of the objects themselves, and in each resample."""

    of_all: Mapping[str, CorrectionAuc]
    resampled: Float[np.ndarray, "resample task"]


@dataclass(frozen=True)
class _Scale:
    """What areas of one task are measured against, in each resample."""

    start: Float[np.ndarray, "resample"]
    oracle: Float[np.ndarray, "resample"]
    worst: Float[np.ndarray, "resample"]

    def relative(self, area: Float[np.ndarray, "resample"]) -> Float[np.ndarray, "resample"]:
        """Relative AUC; NaN where no order beats another."""
        span = self.oracle - self.worst
        relative: Float[np.ndarray, "resample"] = (area - self.worst) / np.where(
            span > 0, span, np.nan
        )
        return relative


@dataclass(frozen=True)
class _Asked:
    """Corrections of one model that judge the same proposal."""

    protocol: str
    model: str
    judged: str
    tasks: Mapping[str, Correction]


def _rows_of_model(
    asked: _Asked, areas: Mapping[MeasureKey, _Areas], resamples: Resamples
) -> Iterator[AucRow]:
    for place, (task, correction) in enumerate(asked.tasks.items()):
        scale = _scale(correction, resamples)
        relative = {key: scale.relative(area.resampled[:, place]) for key, area in areas.items()}
        found = {key: area.of_all[task] for key, area in areas.items()}
        for (train_split, tokens, measure), area in found.items():
            key, own = (train_split, tokens, measure), (train_split, asked.judged, measure)
            yield AucRow(
                asked.protocol,
                train_split,
                tokens,
                task,
                asked.model,
                measure,
                **vars(area),
                auc_interval=interval(scale.start + areas[key].resampled[:, place]),
                relative_interval=interval(relative[key]),
                margin=area.relative - found[BASELINE].relative,
                margin_interval=interval(relative[key] - relative[BASELINE]),
                tokens_margin=area.relative - found[own].relative if tokens else nan,
                tokens_margin_interval=(
                    interval(relative[key] - relative[own]) if tokens else Interval(nan, nan)
                ),
            )


def _areas(
    uncertainty: Float[np.ndarray, "object"], tasks: Mapping[str, Correction], resamples: Resamples
) -> _Areas:
    gains = np.stack([correction.gain for correction in tasks.values()], axis=1)
    of_all = {
        task: correction_auc(correction.iou, correction.corrected_iou, uncertainty)
        for task, correction in tasks.items()
    }
    return _Areas(of_all, resampled_areas(gains, uncertainty, resamples))


def _check_measures(measures: Mapping[MeasureKey, np.ndarray], model: str) -> None:
    for (train_split, tokens, measure), value in measures.items():
        n_faulty = int(np.isnan(value).sum())
        if n_faulty:
            heads = f" by heads of {train_split} on {tokens} tokens" if train_split else ""
            raise ValueError(
                f"{measure} of {model}{heads} must not be NaN, got NaN for {n_faulty} of "
                f"{value.size} objects"
            )


def _scale(correction: Correction, resamples: Resamples) -> _Scale:
    gain = correction.gain
    oracle, worst = (
        resampled_areas(gain[:, np.newaxis], order, resamples)[:, 0] for order in (gain, -gain)
    )
    start = resampled_means(correction.iou[:, np.newaxis].astype(np.float64), resamples)[:, 0]
    return _Scale(start, oracle, worst)
