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
from pipeline.scoring.calibration import calibration
from pipeline.scoring.measures import BY_NAME, predicted_iou
from pipeline.scoring.scores import Statistic
from pipeline.scoring.tasks import Each, JudgedMasks


def usefulness_scores(
    masks: Iterable[JudgedMasks], resamples: bootstrap.Resamples, run: Each = map
) -> Iterator[bootstrap.Measured]:
    """Yield every statistic of every measure of uncertainty.

    The statistics are those of ``SELECTIVE``; for measures that are 1 - a predicted IoU also those
    of ``CALIBRATION``. ``masks`` have one judged proposal for each protocol, as in ``own_masks``.
    ``run`` applies a function to every measure: ``map``, or threads.
    """
    for judged in masks:
        measures = judged.measures
        work = partial(_statistics, iou=judged.iou, resamples=resamples)
        for (train_split, measure), statistics in zip(
            measures, run(work, measures.items()), strict=True
        ):
            yield judged.keys(train_split, measure), statistics


def _statistics(
    named: tuple[tuple[str, str], Values],
    *,
    iou: Values,
    resamples: bootstrap.Resamples,
) -> dict[str, bootstrap.Resampled]:
    """Statistics of a measure, which comes with its train split and name."""
    (_, measure), uncertainty = named
    statistics = {
        statistic.name: compute(1 - iou, uncertainty, resamples)
        for statistic, compute in OF_RISK.items()
    }
    if BY_NAME[measure].predicted_iou:
        predicted = predicted_iou(measure, uncertainty)
        statistics |= calibration(predicted, iou, resamples)
    return statistics


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
    of a tie is ``(H_n + 1 - (b H_b - a H_a) / (b - a)) / n``.
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


OF_RISK: Final[Mapping[Statistic, Callable[..., bootstrap.Resampled]]] = {
    Statistic(
        "aurc",
        "AURC",
        "mean risk (1 − IoU) of the kept masks, averaged over all numbers of kept masks",
        better="low",
    ): aurc,
}
"""Statistics that need only the risk and a measure."""

SELECTIVE: Final = tuple(OF_RISK)
