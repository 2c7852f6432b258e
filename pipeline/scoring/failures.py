"""Failure detection: whether a measure finds the masks whose IoU falls short of a threshold."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from pipeline.scoring.bootstrap import Resamples
from pipeline.scoring.ranking import Ranking

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
    # Numba takes half a second, which whoever reads results need not spend.
    from pipeline.scoring.passes.ranks import write_detection  # noqa: PLC0415

    ranking = Ranking.of(-uncertainty)
    sums = resamples.sums(np.stack([~is_failure, is_failure], axis=1).astype(np.float64))
    found = resamples.empty(3)
    write_detection(
        resamples.drawn,
        resamples.group[ranking.order],
        ranking.is_last,
        is_failure[ranking.order],
        resamples.by_lane(sums.T),
        CAUGHT,
        found,
    )
    return Detection(*resamples.by_resample(found))
