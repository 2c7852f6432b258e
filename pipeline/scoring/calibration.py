"""Calibration of predicted IoUs, of pixels' probabilities, and of SamScores (isotonic)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.mask_statistics import REGIONS
from pipeline.proposals import Values
from pipeline.scoring import bootstrap
from pipeline.scoring.measures import BY_NAME, predicted_iou
from pipeline.scoring.scores import Keys, ReliabilityBin, Score
from pipeline.scoring.tasks import JudgedMasks
from pipeline.vocabulary import PROTOCOLS

PixelNumbers = Mapping[str, Float[np.ndarray, "object *bins"]]
"""Rows of ``PIXEL_SCORES`` by name, of the judged masks of one model in one region.

Objects without a pixel in the region have NaN throughout.
"""

_MEANS: Final = ("brier", "nll", "pavpu")
"""Statistics that are means of the pixel scores of their name."""

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


def reliability_bins(
    masks: Iterable[JudgedMasks], resamples: bootstrap.Resamples
) -> Iterator[ReliabilityBin]:
    """Bins of every measure that is 1 - a predicted IoU."""
    for judged in masks:
        iou = judged.iou
        for (train_split, measure), uncertainty in judged.measures.items():
            if not BY_NAME[measure].predicted_iou:
                continue
            predicted = predicted_iou(measure, uncertainty)
            of_all = reliability(predicted, iou, bootstrap.each_once(len(iou)))
            resampled = reliability(predicted, iou, resamples)
            for place, ious in enumerate(resampled.iou.T):
                yield ReliabilityBin(
                    judged.protocol,
                    train_split,
                    judged.model,
                    measure,
                    place,
                    float(of_all.predicted_iou[0, place]),
                    float(of_all.iou[0, place]),
                    bootstrap.interval(ious, resamples.n_groups),
                )


def pixel_scores(
    numbers: Mapping[tuple[str, str, str], PixelNumbers], resamples: bootstrap.Resamples
) -> Iterator[Score]:
    """Every statistic of pixels, of every protocol, model and region.

    Parameters
    ----------
    numbers
        By judged proposal, model and region.
    """
    models = list(dict.fromkeys(model for _, model, _ in numbers))
    for protocol, model, region in product(PROTOCOLS, models, REGIONS):
        of_masks = numbers[protocol, model, region]
        keys = Keys(protocol=protocol, model=model, region=region)
        of_all = _pixel_statistics(of_masks, bootstrap.each_once(len(of_masks["brier"])))
        for statistic, resampled in _pixel_statistics(of_masks, resamples).items():
            value = float(of_all[statistic][0])
            yield Score(keys, statistic, value, bootstrap.interval(resampled, resamples.n_groups))


def _pixel_statistics(
    numbers: PixelNumbers, drawn: bootstrap.Resamples
) -> dict[str, bootstrap.Resampled]:
    # Summed over the bins, the distance between their mean probability and truth, by share.
    distance = np.subtract(numbers["bin_probability"], numbers["bin_truth"], dtype=np.float64)
    means = {name: _means(numbers[name][:, np.newaxis], drawn)[:, 0] for name in _MEANS}
    return {"pixel_calibration_error": np.abs(_means(distance, drawn)).sum(axis=1), **means}


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
