"""Calibration of predicted IoUs, of pixels' probabilities, and of SamScores (isotonic)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.mask_statistics import REGIONS
from pipeline.proposals import Values
from pipeline.result_rows import PixelRow
from pipeline.scoring import bootstrap
from pipeline.vocabulary import PROTOCOLS

PixelScores = Mapping[str, Float[np.ndarray, "object *bins"]]
"""Rows of ``PIXEL_SCORES`` by name, of the judged masks of one model in one region.

Objects without a pixel in the region have NaN throughout.
"""

_MEANS: Final = ("brier", "nll", "pavpu")
"""Those of ``PIXEL_STATISTICS`` that are means of the scores of their name."""

N_BINS: Final = 10
"""Bins of equal mass of the calibration error and the reliability diagram."""


@dataclass(frozen=True)
class Isotonic:
    """The IoU that a SamScore stands for: straight between knots, constant beyond them."""

    sam_score: Values
    """Of the knots, rising."""
    iou: Values
    """Of the knots, never falling."""

    def iou_at(self, sam_score: Values) -> Values:
        """Calibrated IoU of each mask."""
        iou: Values = np.interp(sam_score, self.sam_score, self.iou)
        return iou


def isotonic_iou(sam_score: Values, iou: Values) -> Isotonic:
    """Isotonic regression of the IoU on the SamScore.

    >>> isotonic_iou(np.array([0.2, 0.4, 0.6]), np.array([0.5, 0.3, 0.9])).iou.tolist()
    [0.4, 0.4, 0.9]

    Notes
    -----
    The least squares of all functions that never fall (Zadrozny and Elkan, KDD 2002). It keeps the
    order of the SamScores except those that it joins, so that rankings by it and by them differ
    by ties alone.
    """
    # scikit-learn takes a second to import, and only training needs it.
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415

    fitted = IsotonicRegression().fit(sam_score.astype(np.float64), iou.astype(np.float64))
    return Isotonic(fitted.X_thresholds_, fitted.y_thresholds_)


@dataclass(frozen=True)
class Reliability:
    """Bins of equal mass by the predicted IoU, the lowest first, in each resample."""

    predicted_iou: Float[np.ndarray, "resample bin"]
    iou: Float[np.ndarray, "resample bin"]

    @property
    def error(self) -> Float[np.ndarray, "resample"]:
        """Expected calibration error: mean distance between the two."""
        error: Float[np.ndarray, "resample"] = np.abs(self.predicted_iou - self.iou).mean(axis=1)
        return error


def reliability(
    predicted_iou: Float[np.ndarray, "object"],
    iou: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> Reliability:
    """Mean predicted and true IoU of ``N_BINS`` bins that hold the same share of the objects.

    Notes
    -----
    An object on an edge counts in both bins, by the share that lies in each. Objects with the same
    prediction share their mean IoU, the mean over all their orders. Each resample has its own
    edges. With few objects per bin, the error is above 0 even for calibrated predictions: compare
    predictions for the same objects.
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
    return Reliability(*np.ascontiguousarray(means.swapaxes(1, 2)))


def accuracy(
    predicted_iou: Float[np.ndarray, "object"],
    iou: Float[np.ndarray, "object"],
    resamples: bootstrap.Resamples,
) -> dict[str, bootstrap.Resampled]:
    """How far predicted IoUs are from the true ones: ``root_mean_square``, and ``bias``.

    The latter is the mean of predicted - true; above 0, masks are worse than predicted.
    """
    error = np.subtract(predicted_iou, iou, dtype=np.float64)
    square, bias = bootstrap.resampled_means(np.stack([error**2, error], axis=1), resamples).T
    return {"root_mean_square": np.sqrt(square), "bias": bias}


def pixel_rows(
    scores: Mapping[tuple[str, str, str], PixelScores], resamples: bootstrap.Resamples
) -> Iterator[PixelRow]:
    """Every statistic of every protocol, model and region.

    Parameters
    ----------
    scores
        By judged proposal, model and region.
    """
    models = list(dict.fromkeys(model for _, model, _ in scores))
    for protocol in PROTOCOLS:
        for model in models:
            for region in REGIONS:
                found = scores[protocol, model, region]
                once = bootstrap.each_once(len(found["brier"]))
                of_all = _pixel_statistics(found, once)
                for statistic, resampled in _pixel_statistics(found, resamples).items():
                    value, spread = float(of_all[statistic][0]), bootstrap.interval(resampled)
                    yield PixelRow(protocol, model, region, statistic, value, spread)


def _pixel_statistics(
    found: PixelScores, drawn: bootstrap.Resamples
) -> dict[str, bootstrap.Resampled]:
    # Summed over the bins, the distance between their mean probability and truth, by share.
    gap = _means(np.subtract(found["bin_probability"], found["bin_truth"], dtype=np.float64), drawn)
    means = {name: _means(found[name][:, np.newaxis], drawn)[:, 0] for name in _MEANS}
    return {"calibration_error": np.abs(gap).sum(axis=1), **means}


def _means(
    values: Float[np.ndarray, "object column"], drawn: bootstrap.Resamples
) -> Float[np.ndarray, "resample column"]:
    """Means over the objects that have a value; NaN where a resample has none of them."""
    is_known, values = ~np.isnan(values), values.astype(np.float64)
    weighted = bootstrap.resampled_means(
        np.concatenate([np.where(is_known, values, 0), is_known], 1), drawn
    )
    summed, share = np.split(weighted, 2, axis=1)
    mean: Float[np.ndarray, "resample column"] = np.full(summed.shape, np.nan)
    np.divide(summed, share, out=mean, where=share > 0)
    return mean
