"""What an uncertainty is worth, in each resample.

Selective prediction (how bad the kept masks are when the least uncertain ones are kept first),
failures detected, correlation with the risk, and routing: the small model answers, and its
uncertainty decides what the large one is asked.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from pipeline.scoring import bootstrap
from pipeline.scoring.auc import correction_curve

CAUGHT: Final = 0.95
"""Share of the failures caught at the threshold where false alarms are counted."""

NO_SPREAD: Final = 1e-12
"""Share of a value's variance below which its spread in a resample is rounding error."""

TOLERANCE: Final = 0.01
"""How far the mean IoU of routing may fall below the large model's."""

Points = Float[np.ndarray, "point"]
"""A number for each coverage."""


def risk_coverage(
    risk: Float[np.ndarray, "object"], uncertainty: Float[np.ndarray, "object"], n_points: int
) -> tuple[Points, Points, Points]:
    """Risk of the kept objects by their share, averaged over all orders of ties.

    Returns
    -------
    Shares of the objects that are kept, evenly spaced, the last one 1; the mean risk of those kept
    at each (selective risk); their summed risk, divided by the number of all objects (generalised
    risk).
    """
    # What is kept adds up as what is corrected does, from the other end.
    curve = correction_curve(np.zeros_like(risk), risk, -uncertainty, n_points=n_points + 1)
    coverage, generalised = (values[1:] for values in curve)
    return coverage, generalised / coverage, generalised


def aurc(
    risk: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> Float[np.ndarray, "resample"]:
    """Area under the risk-coverage curve of each resample, its mean over all orders of ties.

    Notes
    -----
    The mean over k = 1..n of the mean risk of the k least uncertain objects (Geifman, Uziel and
    El-Yaniv, arXiv 1805.08206). The object at rank r weighs ``(1/r + ... + 1/n) / n``, which is
    ``(H_n - H_(r-1)) / n`` with harmonic numbers H; its mean over the ranks a+1..b of a tie is
    ``(H_n + 1 - (b H_b - a H_a) / (b - a)) / n``. Excess AURC is what lies above the oracle's,
    ``aurc(risk, risk, resamples)``.
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
) -> Float[np.ndarray, "resample"]:
    """Area under the generalised risk-coverage curve of each resample (arXiv 2407.01032).

    Notes
    -----
    Trapezoid rule from zero coverage, where the generalised risk is 0. For the risk 1 - IoU it is
    1 - the AUC of the correction *segmentation*, since the objects that one keeps are those that
    the other has not corrected yet.
    """
    by_risk = risk.astype(np.float64)[:, np.newaxis]
    return bootstrap.resampled_areas(by_risk, -uncertainty, resamples)[:, 0]


def detection(
    is_failure: Bool[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> dict[str, bootstrap.Resampled]:
    """How well uncertainty detects failures, in each resample; NaN where none or all objects fail.

    Failures are the positives; the most uncertain objects are flagged first.

    Returns
    -------
    ``auroc``: probability that a failure is more uncertain than another object; a tie counts half.
    ``average_precision``: area under the precision-recall curve, one step per threshold; a random
    order has the share of failures. ``false_alarms``: share of the sound objects that is flagged
    when ``CAUGHT`` of the failures are, the false positive rate at that true positive rate.

    Notes
    -----
    A threshold flags a whole tie, as in scikit-learn.
    """
    order, is_last = bootstrap.ranked(-uncertainty)
    sums = resamples.sums(np.stack([~is_failure, is_failure], axis=1).astype(np.float64))
    found = resamples.passed(
        bootstrap.passes().write_detection,
        resamples.group[order],
        is_last,
        is_failure[order],
        resamples.by_lane(sums.T),
        CAUGHT,
        of=(3,),
    )
    return dict(zip(("auroc", "average_precision", "false_alarms"), found, strict=True))


def pearson(
    x: Float[np.ndarray, "object"], y: Float[np.ndarray, "object"], resamples: bootstrap.Resamples
) -> Float[np.ndarray, "resample"]:
    """Pearson correlation; NaN where a value is the same for all objects, or infinite."""
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return np.full(len(resamples), np.nan)
    # Centred first, so that the moments lose no digits.
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
) -> Float[np.ndarray, "resample"]:
    """Spearman correlation (Pearson's, of mean ranks); NaN where all objects tie."""
    (first, _), (second, _) = rankings = [bootstrap.ranked(value) for value in (x, y)]
    place = np.empty_like(first)
    place[first] = np.arange(len(place))
    both, of_x, of_y = resamples.passed(
        bootstrap.passes().write_rank_moments,
        np.stack([resamples.group[order] for order, _ in rankings]),
        np.stack([is_last for _, is_last in rankings]),
        place[second],
        resamples.by_lane(resamples.n_objects.astype(np.float64)),
        of=(3,),
    )
    return _correlation(both, _spread(of_x, 0.0), _spread(of_y, 0.0))


def _spread(
    variance: Float[np.ndarray, "resample"], of_all: float
) -> Float[np.ndarray, "resample"]:
    return np.where(variance > NO_SPREAD * of_all, variance, np.nan)


def _correlation(
    covariance: Float[np.ndarray, "resample"],
    variance_x: Float[np.ndarray, "resample"],
    variance_y: Float[np.ndarray, "resample"],
) -> Float[np.ndarray, "resample"]:
    found: Float[np.ndarray, "resample"] = covariance / np.sqrt(variance_x * variance_y)
    return found.clip(-1, 1)


def share_to_match(
    gain: Float[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> Float[np.ndarray, "resample"]:
    """Smallest share sent on at which the mean IoU reaches the large model's less ``TOLERANCE``.

    Parameters
    ----------
    gain
        What the large model adds to each object's IoU.

    Notes
    -----
    The share always exists: sending all objects on is the large model alone. The curve is straight
    across ties, which is its mean over all their orders, and between whole objects.
    """
    order, is_last = bootstrap.ranked(-uncertainty)
    return resamples.passed(
        bootstrap.passes().write_shares,
        resamples.group[order],
        is_last,
        gain[order].astype(np.float64),
        TOLERANCE,
    )
