"""How useful each measure is in practice: statistics with intervals over groups.

The masks are each model's own, best or selected, as the protocol says.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.scoring.association import pearson, spearman
from pipeline.scoring.bootstrap import Interval, Resamples, each_once, interval
from pipeline.scoring.calibration import accuracy, reliability
from pipeline.scoring.evidence import ModelScores, Values
from pipeline.scoring.failures import detection
from pipeline.scoring.measured import model_measures
from pipeline.scoring.measures import BY_NAME, predicted_iou
from pipeline.scoring.routing import Ious, share_to_match
from pipeline.scoring.selective import augrc, aurc, risk_coverage
from pipeline.scoring.statistics import FAILURE_IOUS
from pipeline.scoring.tasks import BOUNDS, default_model
from pipeline.vocabulary import PROTOCOLS

ROUTED: Final = ("tiny", "large")
"""The model that answers first, and the one that is asked where that answer is uncertain."""


StatisticKey = tuple[str, float | None]
"""Name of a statistic, and the IoU below which masks fail, or None."""


@dataclass(frozen=True)
class StatisticRow:
    """One number of one measure."""

    protocol: str
    train_split: str
    """Of the heads; empty for a measure without."""
    model: str
    measure: str
    statistic: str
    iou_below: float | None
    """Masks fail below it; None for statistics that are not about failures."""
    value: float
    interval: Interval


@dataclass(frozen=True)
class CoverageCurve:
    """Risk of the kept masks by their share, the least uncertain kept first."""

    protocol: str
    train_split: str
    model: str
    measure: str
    """A measure or one of ``BOUNDS``."""
    coverage: Float[np.ndarray, "point"]
    selective_risk: Float[np.ndarray, "point"]
    generalised_risk: Float[np.ndarray, "point"]


@dataclass(frozen=True)
class ReliabilityRow:
    """A bin of a reliability diagram."""

    protocol: str
    train_split: str
    model: str
    measure: str
    bin: int
    """From 0, by the predicted IoU."""
    predicted_iou: float
    iou: float
    interval: Interval
    """Of the true IoU."""


@dataclass(frozen=True)
class _Asked:
    """Masks of one model and protocol, and its measures by train split and name."""

    protocol: str
    model: str
    iou: Values
    measures: Mapping[tuple[str, str], Values]
    routed: Ious | None
    """None unless the model is the one that answers first."""


def statistic_rows(
    models: Mapping[str, ModelScores],
    resamples: Resamples,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[StatisticRow]:
    """Every statistic of every protocol, model and measure.

    Parameters
    ----------
    advance
        Called with 1 after each of ``n_measures_in_use`` measures.
    """
    for asked in _asked(models):
        once = each_once(len(asked.iou))
        oracles = [_oracle(asked.iou, drawn) for drawn in (once, resamples)]
        for (train_split, measure), uncertainty in asked.measures.items():
            values, resampled = (
                _statistics(asked, measure, uncertainty, drawn, oracle)
                for drawn, oracle in zip((once, resamples), oracles, strict=True)
            )
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


def n_measures_in_use(models: Mapping[str, ModelScores]) -> int:
    """Number of measures, over all protocols and models."""
    return sum(len(asked.measures) for asked in _asked(models))


def coverage_curves(models: Mapping[str, ModelScores], n_points: int) -> Iterator[CoverageCurve]:
    """Curves of the bounds and of every measure, for the largest model."""
    for asked in _asked({model: models[model] for model in [default_in_use(tuple(models))]}):
        risk = 1 - asked.iou
        bounds = dict(zip(BOUNDS, (risk, -risk, np.zeros_like(risk)), strict=True))
        measures = {("", name): value for name, value in bounds.items()} | dict(asked.measures)
        for (train_split, measure), uncertainty in measures.items():
            curve = risk_coverage(risk, uncertainty, n_points)
            yield CoverageCurve(asked.protocol, train_split, asked.model, measure, **vars(curve))


def reliability_rows(
    models: Mapping[str, ModelScores], resamples: Resamples
) -> Iterator[ReliabilityRow]:
    """Bins of every measure that is 1 - a predicted IoU."""
    for asked in _asked(models):
        for (train_split, measure), uncertainty in asked.measures.items():
            if not BY_NAME[measure].predicted_iou:
                continue
            predicted = predicted_iou(measure, uncertainty)
            found, resampled = (
                reliability(predicted, asked.iou, drawn)
                for drawn in (each_once(len(asked.iou)), resamples)
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


def default_in_use(models: tuple[str, ...]) -> str:
    """The model that report tables and figures show: the largest."""
    return default_model("segmentation", models)


def _asked(models: Mapping[str, ModelScores]) -> Iterator[_Asked]:
    for protocol in PROTOCOLS:
        ious = {
            model: said.proposals.judged_iou(protocol).astype(np.float64)
            for model, said in models.items()
        }
        small, large = ROUTED
        for model, said in models.items():
            is_routed = model == small and large in models
            yield _Asked(
                protocol,
                model,
                ious[model],
                model_measures(said, model, protocol=protocol, judged=protocol),
                Ious(ious[small], ious[large]) if is_routed else None,
            )


def _oracle(iou: Values, drawn: Resamples) -> Float[np.ndarray, "resample"]:
    return aurc(1 - iou, 1 - iou, drawn)


def _statistics(
    asked: _Asked,
    measure: str,
    uncertainty: Values,
    drawn: Resamples,
    oracle: Float[np.ndarray, "resample"],
) -> dict[StatisticKey, Float[np.ndarray, "resample"]]:
    risk = 1 - asked.iou
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
        found["calibration_error"] = reliability(predicted, asked.iou, drawn).error
        found |= vars(accuracy(predicted, asked.iou, drawn))
    if asked.routed:
        found["routed"] = share_to_match(asked.routed, uncertainty, drawn)
    named: dict[StatisticKey, Float[np.ndarray, "resample"]] = {
        (name, None): values for name, values in found.items()
    }
    for limit in FAILURE_IOUS:
        told = detection(asked.iou < limit, uncertainty, drawn)
        named |= {(name, limit): values for name, values in vars(told).items()}
    return named
