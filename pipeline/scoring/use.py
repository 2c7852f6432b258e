"""How useful each measure is in practice: statistics with intervals over groups.

The masks are each model's own, best or selected, as the protocol says.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.result_rows import CoverageCurve, ReliabilityRow, StatisticRow
from pipeline.scoring.association import pearson, spearman
from pipeline.scoring.bootstrap import Resamples, each_once, interval
from pipeline.scoring.calibration import accuracy, reliability
from pipeline.scoring.curves import BOUNDS
from pipeline.scoring.evidence import Values
from pipeline.scoring.failures import detection
from pipeline.scoring.measured import Each, JudgedMasks, one_by_one
from pipeline.scoring.measures import BY_NAME, predicted_iou
from pipeline.scoring.routing import Ious, share_to_match
from pipeline.scoring.selective import augrc, aurc, risk_coverage
from pipeline.scoring.statistics import FAILURE_IOUS
from pipeline.scoring.tasks import default_model

ROUTED: Final = ("tiny", "large")
"""The model that answers first, and the one that is asked where that answer is uncertain."""


StatisticKey = tuple[str, float | None]
"""Name of a statistic, and the IoU below which masks fail, or None."""


@dataclass(frozen=True)
class _Ranked:
    """Masks, and one measure of them."""

    iou: Values
    measure: str
    uncertainty: Values
    routed: Ious | None
    """None unless the masks are of the model that answers first."""


def statistic_rows(
    masks: Sequence[JudgedMasks],
    resamples: Resamples,
    advance: Callable[[int], None] = lambda _: None,
    each: Each = one_by_one,
) -> Iterator[StatisticRow]:
    """Every statistic of every measure.

    Parameters
    ----------
    masks
        Each protocol's own.
    advance
        Called with 1 after each measure of the masks.
    each
        How the measures are gone through.
    """
    draws = (each_once(len(resamples.group)), resamples)
    for asked in masks:
        iou, measures, routed = asked.iou, asked.measures, _routed(asked, masks)
        ranked = [
            _Ranked(iou, measure, uncertainty, routed)
            for (_, measure), uncertainty in measures.items()
        ]
        oracles = [_oracle(iou, drawn) for drawn in draws]
        found = each(partial(_drawn_statistics, draws=draws, oracles=oracles), ranked)
        for (train_split, measure), (values, resampled) in zip(measures, found, strict=True):
            for (statistic, iou_below), (value,) in values.items():
                yield StatisticRow(
                    asked.protocol,
                    train_split,
                    asked.model,
                    measure,
                    statistic,
                    iou_below,
                    float(value),
                    interval(resampled[statistic, iou_below]),
                )
            advance(1)


def coverage_curves(masks: Iterable[JudgedMasks], n_points: int) -> Iterator[CoverageCurve]:
    """Curves of the bounds and of every measure."""
    for asked in masks:
        risk = 1 - asked.iou
        bounds = dict(zip(BOUNDS, (risk, -risk, np.zeros_like(risk)), strict=True))
        measures = {("", name): value for name, value in bounds.items()} | dict(asked.measures)
        for (train_split, measure), uncertainty in measures.items():
            curve = risk_coverage(risk, uncertainty, n_points)
            yield CoverageCurve(asked.protocol, train_split, asked.model, measure, **vars(curve))


def reliability_rows(
    masks: Iterable[JudgedMasks], resamples: Resamples
) -> Iterator[ReliabilityRow]:
    """Bins of every measure that is 1 - a predicted IoU."""
    for asked in masks:
        iou = asked.iou
        for (train_split, measure), uncertainty in asked.measures.items():
            if not BY_NAME[measure].predicted_iou:
                continue
            predicted = predicted_iou(measure, uncertainty)
            found, resampled = (
                reliability(predicted, iou, drawn) for drawn in (each_once(len(iou)), resamples)
            )
            for place, ious in enumerate(resampled.iou.T):
                yield ReliabilityRow(
                    asked.protocol,
                    train_split,
                    asked.model,
                    measure,
                    place,
                    float(found.predicted_iou[0, place]),
                    float(found.iou[0, place]),
                    interval(ious),
                )


def of_largest(masks: Sequence[JudgedMasks]) -> list[JudgedMasks]:
    """Masks of the model that report tables and figures show."""
    largest = default_in_use(tuple({one.model for one in masks}))
    return [one for one in masks if one.model == largest]


def default_in_use(models: tuple[str, ...]) -> str:
    """The model that report tables and figures show: the largest."""
    return default_model("segmentation", models)


def _routed(asked: JudgedMasks, masks: Iterable[JudgedMasks]) -> Ious | None:
    """IoUs of the masks and of the large model's, if these masks are of the model asked first."""
    small, large = ROUTED
    others = [one.iou for one in masks if (one.protocol, one.model) == (asked.protocol, large)]
    return Ious(asked.iou, others[0]) if asked.model == small and others else None


def _oracle(iou: Values, drawn: Resamples) -> Float[np.ndarray, "resample"]:
    return aurc(1 - iou, 1 - iou, drawn)


def _drawn_statistics(
    ranked: _Ranked, draws: Iterable[Resamples], oracles: Iterable[Float[np.ndarray, "_"]]
) -> list[dict[StatisticKey, Float[np.ndarray, "_"]]]:
    return [
        _statistics(ranked, drawn, oracle) for drawn, oracle in zip(draws, oracles, strict=True)
    ]


def _statistics(
    ranked: _Ranked, drawn: Resamples, oracle: Float[np.ndarray, "resample"]
) -> dict[StatisticKey, Float[np.ndarray, "resample"]]:
    risk, measure, uncertainty = 1 - ranked.iou, ranked.measure, ranked.uncertainty
    area = aurc(risk, uncertainty, drawn)
    found = {
        "aurc": area,
        "excess_aurc": area - oracle,
        "augrc": augrc(risk, uncertainty, drawn),
        "pearson": pearson(risk, uncertainty, drawn),
        "spearman": spearman(risk, uncertainty, drawn),
    }
    if BY_NAME[measure].predicted_iou:
        predicted = predicted_iou(measure, uncertainty)
        found["calibration_error"] = reliability(predicted, ranked.iou, drawn).error
        found |= vars(accuracy(predicted, ranked.iou, drawn))
    if ranked.routed:
        found["routed"] = share_to_match(ranked.routed, uncertainty, drawn)
    named: dict[StatisticKey, Float[np.ndarray, "resample"]] = {
        (name, None): values for name, values in found.items()
    }
    for limit in FAILURE_IOUS:
        told = detection(ranked.iou < limit, uncertainty, drawn)
        named |= {(name, limit): values for name, values in vars(told).items()}
    return named
