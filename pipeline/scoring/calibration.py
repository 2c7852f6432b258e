"""Calibration of predicted IoUs, and of SamScores (isotonic)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from pipeline.proposals import Values
from pipeline.scoring import bootstrap
from pipeline.scoring.measures import BY_NAME, predicted_iou
from pipeline.scoring.scores import Statistic
from pipeline.scoring.tasks import JudgedMasks

CALIBRATION: Final = (
    Statistic(
        "calibration_error",
        "ECE",
        "mean distance between predicted and true IoU, over ten bins of equal mass",
        better="low",
    ),
    Statistic("root_mean_square", "RMSE", "root mean square of predicted − true IoU", better="low"),
    Statistic("bias", "bias", "mean of predicted − true IoU", better=""),
)

N_BINS: Final = 10
"""Number of bins of equal mass of the calibration error and the reliability diagram."""


@dataclass(frozen=True)
class Isotonic:
    """Function from SamScore to calibrated IoU: linear between knots, constant beyond them."""

    sam_score: Values
    """SamScores of the knots, rising."""
    iou: Values
    """IoUs of the knots, never falling."""

    def iou_at(self, sam_score: Values) -> Values:
        """Calibrated IoU of each SamScore."""
        iou: Values = np.interp(sam_score, self.sam_score, self.iou)
        return iou


def isotonic_iou(sam_score: Values, iou: Values) -> Isotonic:
    """Fit an isotonic regression of the IoU on the SamScore.

    >>> isotonic_iou(np.array([0.2, 0.4, 0.6]), np.array([0.5, 0.3, 0.9])).iou.tolist()
    [0.4, 0.4, 0.9]

    Notes
    -----
    The function with the least squared error of all functions that never fall (Zadrozny and Elkan,
    KDD 2002). It may give equal IoUs to different SamScores, but never reverses their order. So the
    rankings by IoU and by SamScore differ by ties alone.
    """
    # scikit-learn takes a second to import, and only training needs it.
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415

    fitted = IsotonicRegression().fit(sam_score.astype(np.float64), iou.astype(np.float64))
    return Isotonic(fitted.X_thresholds_, fitted.y_thresholds_)


def reliability(
    predicted_iou: Float[np.ndarray, "object"],
    iou: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> Float[np.ndarray, "2 draw bin"]:
    """Mean predicted and true IoU of ``N_BINS`` bins that hold the same share of the objects.

    Bins are by predicted IoU, the lowest first.

    Notes
    -----
    An object on the edge of two bins counts in both, by its share in each. Objects with the same
    prediction all count with their mean IoU, which is the mean over all their orders. Each draw
    has its own edges. With few objects per bin, the error is above 0 even for calibrated
    predictions: compare errors for the same objects only.
    """
    order, is_last = bootstrap.ranked(predicted_iou)
    columns = np.stack([predicted_iou, iou], axis=1, dtype=np.float64)
    means = resamples.passed(
        bootstrap.passes().write_bin_means,
        resamples.group[order],
        is_last,
        columns[order],
        resamples.by_lane(resamples.n_objects.astype(np.float64)),
        of=(2, N_BINS),
    )
    return np.ascontiguousarray(means.swapaxes(1, 2))


def calibration(
    predicted_iou: Float[np.ndarray, "object"],
    iou: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> dict[str, bootstrap.Resampled]:
    """Compute the statistics ``CALIBRATION`` of predicted IoUs in each draw.

    The bias is the mean of predicted - true IoU; above 0, masks are worse than predicted.
    """
    predicted_means, true_means = reliability(predicted_iou, iou, resamples)
    error = np.subtract(predicted_iou, iou, dtype=np.float64)
    square, bias = bootstrap.resampled_means(np.stack([error**2, error], axis=1), resamples).T
    return {
        "calibration_error": np.abs(predicted_means - true_means).mean(axis=1),
        "root_mean_square": np.sqrt(square),
        "bias": bias,
    }


def reliability_bins(
    masks: Iterable[JudgedMasks], resamples: bootstrap.Resamples
) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``reliability.csv``: bins of every measure that is 1 - a predicted IoU.

    Means are over all objects; resamples give the interval of the mean true IoU.
    """
    for judged in masks:
        iou = judged.iou
        for (train_split, measure), uncertainty in judged.measures.items():
            if not BY_NAME[measure].predicted_iou:
                continue
            predicted = predicted_iou(measure, uncertainty)
            predicted_means, true_means = reliability(predicted, iou, resamples)
            for place, ious in enumerate(true_means.T):
                interval = bootstrap.interval(ious, resamples.n_groups)
                yield {
                    "protocol": judged.protocol,
                    "train_split": train_split,
                    "model": judged.model,
                    "measure": measure,
                    "bin": place,
                    "predicted_iou": float(predicted_means[0, place]),
                    "iou": float(ious[0]),
                    "iou_low": interval.low,
                    "iou_high": interval.high,
                }
