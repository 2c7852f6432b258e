"""Statistics of the usefulness of measures, other than the AUC of corrections.

They are about selective prediction: how bad the kept masks are if the least uncertain masks are
kept first. Those of calibration are computed with them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.proposals import Values
from pipeline.scoring import bootstrap
from pipeline.scoring.auc import correction_curve
from pipeline.scoring.calibration import accuracy, reliability
from pipeline.scoring.corrections import bounds
from pipeline.scoring.measures import BY_NAME, predicted_iou
from pipeline.scoring.scores import CoverageCurve, Statistic
from pipeline.scoring.tasks import Each, JudgedMasks

NO_SPREAD: Final = 1e-12
"""Share of a value's variance up to which its variance in a resample is a rounding error."""

Points = Float[np.ndarray, "point"]
"""One number for each point of a curve."""


def usefulness_scores(
    masks: Iterable[JudgedMasks], resamples: bootstrap.Resamples, run: Each = map
) -> Iterator[bootstrap.Measured]:
    """Yield every statistic of every measure of uncertainty.

    The statistics are those of ``SELECTIVE``; for measures that are 1 - a predicted IoU also those
    of ``CALIBRATION``. ``masks`` have one judged proposal for each protocol, as in ``own_masks``.
    ``run`` applies a function to every measure: ``map``, or threads.
    """
    for judged in masks:
        iou, measures = judged.iou, judged.measures
        oracle = aurc(1 - iou, 1 - iou, resamples)
        work = partial(_statistics, iou=iou, oracle=oracle, resamples=resamples)
        for (train_split, measure), statistics in zip(
            measures, run(work, measures.items()), strict=True
        ):
            yield judged.keys(train_split, measure), statistics


def coverage_curves(masks: Iterable[JudgedMasks], n_points: int) -> Iterator[CoverageCurve]:
    """Yield the risk of the kept masks by their share, for the orders ``BOUNDS`` and every measure.

    The least uncertain masks are kept first; the risk of a mask is 1 - IoU.
    """
    for judged in masks:
        risk = 1 - judged.iou
        for (train_split, measure), uncertainty in (bounds(risk) | judged.measures).items():
            curve = risk_coverage(risk, uncertainty, n_points)
            yield CoverageCurve(judged.protocol, train_split, judged.model, measure, *curve)


def _statistics(
    named: tuple[tuple[str, str], Values],
    *,
    iou: Values,
    oracle: bootstrap.Resampled,
    resamples: bootstrap.Resamples,
) -> dict[str, bootstrap.Resampled]:
    """Statistics of a measure, which comes with its train split and name.

    ``oracle`` is the AURC of the oracle.
    """
    (_, measure), uncertainty = named
    risk = 1 - iou
    area = aurc(risk, uncertainty, resamples)
    statistics = {"aurc": area, "excess_aurc": area - oracle} | {
        statistic.name: compute(risk, uncertainty, resamples)
        for statistic, compute in OF_RISK.items()
    }
    if BY_NAME[measure].predicted_iou:
        predicted = predicted_iou(measure, uncertainty)
        statistics["calibration_error"] = reliability(predicted, iou, resamples).error
        statistics |= accuracy(predicted, iou, resamples)
    return statistics


def risk_coverage(
    risk: Float[np.ndarray, "object"], uncertainty: Float[np.ndarray, "object"], n_points: int
) -> tuple[Points, Points, Points]:
    """Risk of the kept objects against their share, averaged over all orders of ties.

    The least uncertain objects are kept first.

    Returns
    -------
    Shares of objects that are kept, evenly spaced up to 1; the mean risk of the kept objects at
    each share (selective risk); the summed risk of the kept objects, divided by the number of all
    objects (generalised risk).
    """
    # The risk of kept objects adds up like the gain of corrected objects, in reverse order.
    curve = correction_curve(np.zeros_like(risk), risk, -uncertainty, n_points=n_points + 1)
    coverage, generalised = (values[1:] for values in curve)
    return coverage, generalised / coverage, generalised


def aurc(
    risk: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> Float[np.ndarray, "draw"]:
    """Area under the risk-coverage curve of each draw, averaged over all orders of ties.

    The least uncertain objects are kept first. ``risk`` is, for example, 1 - IoU.

    Notes
    -----
    The mean over k = 1..n of the mean risk of the k least uncertain objects (Geifman, Uziel and
    El-Yaniv, arXiv 1805.08206). The object at rank r has the weight ``(1/r + ... + 1/n) / n``,
    which is ``(H_n - H_(r-1)) / n`` with harmonic numbers H. The mean weight over the ranks a+1..b
    of a tie is ``(H_n + 1 - (b H_b - a H_a) / (b - a)) / n``. Excess AURC is the AURC less that of
    the oracle, ``aurc(risk, risk, resamples)``.
    """
    order, is_last = bootstrap.ranked(uncertainty)
    n_most = resamples.n_objects.max(initial=0)
    harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1, n_most + 1))])
    return resamples.passed(
        bootstrap.passes().write_aurc,
        resamples.group[order],
        is_last,
        risk[order].astype(np.float64),
        harmonic,
        resamples.by_lane(resamples.n_objects),
    )


def augrc(
    risk: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> Float[np.ndarray, "draw"]:
    """Area under the generalised risk-coverage curve of each draw (arXiv 2407.01032).

    Notes
    -----
    Trapezoid rule from zero coverage, where the generalised risk is 0. For the risk 1 - IoU it is 1
    - the AUC of the correction *segmentation*, since the kept objects are the objects that are not
    corrected yet.
    """
    by_risk = risk.astype(np.float64)[:, np.newaxis]
    return bootstrap.resampled_areas(by_risk, -uncertainty, resamples)[:, 0]


def pearson(
    x: Float[np.ndarray, "object"], y: Float[np.ndarray, "object"], resamples: bootstrap.Resamples
) -> Float[np.ndarray, "draw"]:
    """Pearson correlation of x and y in each draw; NaN if x or y is constant or infinite."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return np.full(len(resamples), np.nan)
    # Centre x and y first, so that the moments lose no digits.
    x, y = (value.astype(np.float64) - np.mean(value, dtype=np.float64) for value in (x, y))
    columns = np.stack([x, y, x * x, y * y, x * y], axis=1)
    mean_x, mean_y, xx, yy, xy = bootstrap.resampled_means(columns, resamples).T
    return _correlation(
        xy - mean_x * mean_y,
        _spread(xx - mean_x**2, float(np.mean(x * x))),
        _spread(yy - mean_y**2, float(np.mean(y * y))),
    )


def _spread(variance: Float[np.ndarray, "draw"], of_all: float) -> Float[np.ndarray, "draw"]:
    return np.where(variance > NO_SPREAD * of_all, variance, np.nan)


def _correlation(
    covariance: Float[np.ndarray, "draw"],
    variance_x: Float[np.ndarray, "draw"],
    variance_y: Float[np.ndarray, "draw"],
) -> Float[np.ndarray, "draw"]:
    correlation: Float[np.ndarray, "draw"] = covariance / np.sqrt(variance_x * variance_y)
    return correlation.clip(-1, 1)


RiskStatistic = Callable[[Values, Values, bootstrap.Resamples], bootstrap.Resampled]
"""Takes the risk (1 - IoU) and the uncertainty of masks; returns a statistic in each draw."""

OF_RISK: Final[Mapping[Statistic, RiskStatistic]] = {
    Statistic(
        "augrc",
        "AUGRC",
        "area under the generalised risk: the summed risk of the kept masks, divided by the number "
        "of all masks; it is 1 − the AUC of the correction *segmentation*",
        better="low",
    ): augrc,
    Statistic("pearson", "Pearson", "correlation between the measure and 1 − IoU"): pearson,
}
"""Statistics that need only risk and uncertainty, without AURC and its excess."""

SELECTIVE: Final = (
    Statistic(
        "aurc",
        "AURC",
        "mean risk (1 − IoU) of the kept masks, averaged over all numbers of kept masks",
        better="low",
    ),
    Statistic(
        "excess_aurc",
        "excess AURC",
        "AURC beyond that of the oracle, which keeps the best masks first",
        better="low",
    ),
    *OF_RISK,
)
