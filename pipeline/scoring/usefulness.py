"""Statistics of the usefulness of measures, other than the AUC of corrections.

They are about selective prediction (how bad the kept masks are if the least uncertain masks are
kept first), the detection of failures, the correlation with the risk, and routing (the small model
answers, and its uncertainty decides which clicks go to the large model).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from pipeline.proposals import Values
from pipeline.scoring import bootstrap
from pipeline.scoring.auc import correction_curve
from pipeline.scoring.calibration import accuracy, reliability
from pipeline.scoring.corrections import bounds
from pipeline.scoring.measures import BY_NAME, predicted_iou
from pipeline.scoring.scores import CoverageCurve, Statistic
from pipeline.scoring.tasks import Each, JudgedMasks

FAILURE_IOUS: Final = (0.5, 0.75, 0.9)
"""IoUs below which a mask counts as a failure; each has statistics of its own."""

CAUGHT: Final = 0.95
"""Share of failures to catch: the threshold that catches it gives the false alarms."""

NO_SPREAD: Final = 1e-12
"""Share of a value's variance up to which its variance in a resample is a rounding error."""

TOLERANCE: Final = 0.01
"""Largest difference of the mean IoU between routing and the large model alone."""

Points = Float[np.ndarray, "point"]
"""One number for each point of a curve."""


@dataclass(frozen=True)
class _RankedMasks:
    """IoUs of one model's masks, one measure that ranks them, and the gain of routing."""

    iou: Values
    measure: str
    uncertainty: Values
    gain: Values | None
    """Gain in IoU of the largest model over each mask; None unless the smallest model made the
    masks."""


ByLimit = dict[float | None, dict[str, bootstrap.Resampled]]
"""Statistics by the IoU below which masks fail, None if they need no such IoU, then by name."""


def usefulness_scores(
    masks: Sequence[JudgedMasks], resamples: bootstrap.Resamples, run: Each = map
) -> Iterator[bootstrap.Measured]:
    """Yield every statistic of every measure of uncertainty.

    The statistics are those of ``SELECTIVE``; for measures that are 1 - a predicted IoU also those
    of ``CALIBRATION``; for the smallest of several models also those of ``ROUTING``; and those of
    ``FAILURES`` for each of ``FAILURE_IOUS``. ``masks`` are
    those of each protocol, with one judged proposal, by models from small to large, as in
    ``own_masks``. ``run`` applies a function to every measure: ``map``, or threads.
    """
    for judged in masks:
        iou, measures, gain = judged.iou, judged.measures, _gain_of_routing(judged, masks)
        ranked = [
            _RankedMasks(iou, measure, uncertainty, gain)
            for (_, measure), uncertainty in measures.items()
        ]
        oracle = aurc(1 - iou, 1 - iou, resamples)
        by_measure = run(partial(_statistics, resamples=resamples, oracle=oracle), ranked)
        for (train_split, measure), by_limit in zip(measures, by_measure, strict=True):
            for iou_at, statistics in by_limit.items():
                yield judged.keys(train_split, measure, iou_at=iou_at), statistics


def coverage_curves(masks: Iterable[JudgedMasks], n_points: int) -> Iterator[CoverageCurve]:
    """Yield the risk of the kept masks by their share, for the orders ``BOUNDS`` and every measure.

    The least uncertain masks are kept first; the risk of a mask is 1 - IoU.
    """
    for judged in masks:
        risk = 1 - judged.iou
        for (train_split, measure), uncertainty in (bounds(risk) | judged.measures).items():
            curve = risk_coverage(risk, uncertainty, n_points)
            yield CoverageCurve(judged.protocol, train_split, judged.model, measure, *curve)


def _gain_of_routing(judged: JudgedMasks, masks: Iterable[JudgedMasks]) -> Values | None:
    """Gain in IoU of the largest model over masks of the smallest model.

    None for masks of other models, and if there is one model.
    """
    of_models = [masks_of for masks_of in masks if masks_of.protocol == judged.protocol]
    is_first = judged.model == of_models[0].model != of_models[-1].model
    return of_models[-1].iou - judged.iou if is_first else None


def _statistics(
    ranked: _RankedMasks, resamples: bootstrap.Resamples, oracle: bootstrap.Resampled
) -> ByLimit:
    risk, uncertainty = 1 - ranked.iou, ranked.uncertainty
    area = aurc(risk, uncertainty, resamples)
    statistics = {"aurc": area, "excess_aurc": area - oracle} | {
        statistic.name: compute(risk, uncertainty, resamples)
        for statistic, compute in OF_RISK.items()
    }
    if BY_NAME[ranked.measure].predicted_iou:
        predicted = predicted_iou(ranked.measure, uncertainty)
        statistics["calibration_error"] = reliability(predicted, ranked.iou, resamples).error
        statistics |= accuracy(predicted, ranked.iou, resamples)
    if ranked.gain is not None:
        statistics["routed"] = share_to_match(ranked.gain, uncertainty, resamples)
    return {None: statistics} | {
        limit: detection(ranked.iou < limit, uncertainty, resamples) for limit in FAILURE_IOUS
    }


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


def detection(
    is_failure: Bool[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> dict[str, bootstrap.Resampled]:
    """How well uncertainty detects failures, in each draw; NaN if none or all objects fail.

    The most uncertain objects are flagged first; a threshold flags a whole tie, as in scikit-learn.

    Returns
    -------
    ``auroc``: probability that a failure is more uncertain than a sound object; a tie counts half.
    ``average_precision``: area under the precision-recall curve, one step per threshold; for a
    random order, it is the share of failures. ``false_alarms``: share of the sound objects that is
    flagged at the threshold that flags ``CAUGHT`` of the failures (false positive rate).
    """
    order, is_last = bootstrap.ranked(-uncertainty)
    sums = resamples.sums(np.stack([~is_failure, is_failure], axis=1).astype(np.float64))
    numbers = resamples.passed(
        bootstrap.passes().write_detection,
        resamples.group[order],
        is_last,
        is_failure[order],
        resamples.by_lane(sums.T),
        CAUGHT,
        of=(3,),
    )
    return dict(zip(("auroc", "average_precision", "false_alarms"), numbers, strict=True))


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


def spearman(
    x: Float[np.ndarray, "object"], y: Float[np.ndarray, "object"], resamples: bootstrap.Resamples
) -> Float[np.ndarray, "draw"]:
    """Spearman correlation of x and y in each draw; NaN if x or y is equal for all objects."""
    (first, _), (second, _) = rankings = [bootstrap.ranked(value) for value in (x, y)]
    place = np.empty_like(first)
    place[first] = np.arange(len(place))
    covariance, of_x, of_y = resamples.passed(
        bootstrap.passes().write_rank_moments,
        np.stack([resamples.group[order] for order, _ in rankings]),
        np.stack([is_last for _, is_last in rankings]),
        place[second],
        resamples.by_lane(resamples.n_objects.astype(np.float64)),
        of=(3,),
    )
    return _correlation(covariance, _spread(of_x, 0.0), _spread(of_y, 0.0))


def _spread(variance: Float[np.ndarray, "draw"], of_all: float) -> Float[np.ndarray, "draw"]:
    return np.where(variance > NO_SPREAD * of_all, variance, np.nan)


def _correlation(
    covariance: Float[np.ndarray, "draw"],
    variance_x: Float[np.ndarray, "draw"],
    variance_y: Float[np.ndarray, "draw"],
) -> Float[np.ndarray, "draw"]:
    correlation: Float[np.ndarray, "draw"] = covariance / np.sqrt(variance_x * variance_y)
    return correlation.clip(-1, 1)


def share_to_match(
    gain: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> Float[np.ndarray, "draw"]:
    """Smallest share of objects to send to the large model for nearly its mean IoU.

    It is of each draw; nearly is within ``TOLERANCE``. The most uncertain objects are sent
    first; ``gain`` is the IoU that the large model adds for each object.

    Notes
    -----
    The share always exists: with all objects sent, routing is the large model alone. The mean IoU
    is linear across a tie, which is the mean over all orders of the tie, and between whole objects.
    """
    order, is_last = bootstrap.ranked(-uncertainty)
    return resamples.passed(
        bootstrap.passes().write_shares,
        resamples.group[order],
        is_last,
        gain[order].astype(np.float64),
        TOLERANCE,
    )


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
    Statistic("spearman", "Spearman", "correlation of their ranks"): spearman,
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

FAILURES: Final = (
    Statistic(
        "auroc",
        "AUROC",
        "probability that a failure is more uncertain than another mask; 50 % at random",
    ),
    Statistic("average_precision", "AUPR", "average precision for failures; at random their share"),
    Statistic(
        "false_alarms",
        "FPR at 95 %",
        "share of the other masks that is flagged when 95 % of the failures are",
        better="low",
    ),
)

ROUTING: Final = (
    Statistic(
        "routed",
        "sent on",
        "smallest share of the clicks, those on which tiny is most uncertain, that must go on to "
        "large for the mean IoU to reach that of large less one point",
        better="low",
    ),
)
