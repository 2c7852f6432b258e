"""Failure detection: whether a measure finds the masks whose IoU falls short of a threshold."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from pipeline.scoring.bootstrap import Resamples
from pipeline.scoring.ranking import Ranking, Weights

CAUGHT: Final = 0.95
"""Share of the failures caught at the threshold where false alarms are counted."""


@dataclass(frozen=True)
class Detection:
    """How well uncertainty detects failures, in each resample; NaN where none or all objects fail.

    Failures are the positives; the most uncertain objects are flagged first.
    """

    auroc: Float[np.ndarray, "resample"]
    """Probability that a failure is more uncertain than another object; a tie counts half."""
    average_precision: Float[np.ndarray, "resample"]
    """Area under the precision-recall curve, one step per threshold; a random order has the
    share of failures."""
    false_alarms: Float[np.ndarray, "resample"]
    """Share of the sound objects that is flagged when ``CAUGHT`` of the failures are: the false
    positive rate at that true positive rate."""


def detection(
    is_failure: Bool[np.ndarray, "object"],
    uncertainty: Float[np.ndarray, "object"],
    resamples: Resamples,
) -> Detection:
    """AUROC, average precision and false alarms of each resample.

    Notes
    -----
    A threshold flags a whole tie, as in scikit-learn.
    """
    ranking = Ranking.of(-uncertainty)
    ordered = is_failure[ranking.order].astype(np.float64)
    blocks = [_detection(ordered, weights, ranking) for weights in resamples.blocks(ranking.order)]
    return Detection(*np.concatenate(blocks, axis=1))


def _detection(
    is_failure: Float[np.ndarray, "object"], weights: Weights, ranking: Ranking
) -> Float[np.ndarray, "statistic resample"]:
    failures = ranking.by_tie(weights * is_failure)
    flagged = np.cumsum(ranking.by_tie(weights), axis=1)
    caught = np.cumsum(failures, axis=1)
    alarms = flagged - caught
    n_failures, n_sound = (np.where(n > 0, n, np.nan) for n in (caught[:, -1], alarms[:, -1]))
    exists = n_failures * n_sound
    # Sound objects less uncertain than each tie, and half of those within.
    sound = np.diff(alarms, prepend=0, axis=1)
    below = alarms[:, -1:] - alarms + sound / 2
    auroc = (failures * below).sum(axis=1) / exists
    precision = caught / np.maximum(flagged, 1)
    average_precision = (failures * precision).sum(axis=1) / n_failures
    threshold = np.argmax(caught / n_failures[:, np.newaxis] >= CAUGHT, axis=1)
    false_alarms = np.take_along_axis(alarms, threshold[:, np.newaxis], axis=1)[:, 0] / n_sound
    stacked = np.stack([auroc, average_precision, false_alarms])
    stacked[:, np.isnan(exists)] = np.nan
    return stacked
