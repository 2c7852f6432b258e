"""Every statistic that says how useful a measure is: the one table of them, and their rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Float

from pipeline.proposals import Values
from pipeline.result_rows import CoverageCurve, ReliabilityRow, StatisticRow
from pipeline.scoring import usefulness
from pipeline.scoring.bootstrap import Resampled, Resamples, each_once, interval, intervals
from pipeline.scoring.calibration import accuracy, reliability
from pipeline.scoring.corrections import bounds
from pipeline.scoring.measures import BY_NAME, predicted_iou
from pipeline.scoring.tasks import Each, JudgedMasks, default_model

FAILURE_IOUS: Final = (0.5, 0.75, 0.9)
"""Thresholds below which a mask counts as a failure."""

StatisticKey = tuple[str, float | None]
"""Name of a statistic, and the IoU below which masks fail, or None."""


@dataclass(frozen=True)
class Statistic:
    """A number that says how useful a measure is."""

    name: str
    """In files."""
    symbol: str
    """As people read it."""
    meaning: str
    """What it is, in a line."""
    table: str
    """Name of the report table that shows it."""


STATISTICS: Final = (
    Statistic(
        "aurc",
        "AURC",
        "mean risk (1 − IoU) of the kept masks, averaged over all numbers of kept masks",
        "selective",
    ),
    Statistic(
        "excess_aurc",
        "excess AURC",
        "AURC beyond that of the oracle, which keeps the best masks first",
        "selective",
    ),
    Statistic(
        "augrc",
        "AUGRC",
        "area under the generalised risk: the summed risk of the kept masks, divided by the number "
        "of all masks; it is 1 − the AUC of the correction *segmentation*",
        "selective",
    ),
    Statistic(
        "pearson",
        "Pearson",
        "correlation between the measure and 1 − IoU",
        "selective",
    ),
    Statistic(
        "spearman",
        "Spearman",
        "correlation of their ranks",
        "selective",
    ),
    Statistic(
        "auroc",
        "AUROC",
        "probability that a failure is more uncertain than another mask; 50 % at random",
        "failures",
    ),
    Statistic(
        "average_precision",
        "AUPR",
        "average precision for failures; at random their share",
        "failures",
    ),
    Statistic(
        "false_alarms",
        "FPR at 95 %",
        "share of the other masks that is flagged when 95 % of the failures are",
        "failures",
    ),
    Statistic(
        "calibration_error",
        "ECE",
        "mean distance between predicted and true IoU, over ten bins of equal mass",
        "calibration",
    ),
    Statistic(
        "root_mean_square",
        "RMSE",
        "root mean square of predicted − true IoU",
        "calibration",
    ),
    Statistic(
        "bias",
        "bias",
        "mean of predicted − true IoU",
        "calibration",
    ),
    Statistic(
        "routed",
        "sent on",
        "smallest share of the clicks, those on which tiny is most uncertain, that must go on to "
        "large for the mean IoU to reach that of large less one point",
        "routing",
    ),
)
"""In the order of tables."""

PIXEL_STATISTICS: Final = (
    Statistic(
        "calibration_error",
        "ECE",
        "distance between mean probability and share of foreground, over ten bins of equal width, "
        "weighted by the bins' shares of the pixels",
        "pixels",
    ),
    Statistic("brier", "Brier", "mean squared distance between probability and truth", "pixels"),
    Statistic("nll", "NLL", "mean − log of the probability of the truth, in nats", "pixels"),
    Statistic(
        "pavpu",
        "PAvPU",
        "share of the pixels that are right and sure, or wrong and unsure: with an entropy above "
        "0.5 bits; patches are of one pixel",
        "pixels",
    ),
)
"""How well the pixels of masks agree with the ground truth, whatever the measure; in the order of
tables."""


@dataclass(frozen=True)
class _Ranked:
    """Masks, and one measure of them."""

    iou: Values
    measure: str
    uncertainty: Values
    gain: Values | None
    """What the large model adds; None unless the masks are of the model that answers first."""


def statistic_rows(
    masks: Sequence[JudgedMasks], resamples: Resamples, each: Each = map
) -> Iterator[StatisticRow]:
    """Every statistic of every measure.

    Parameters
    ----------
    masks
        Each protocol's own, of models from small to large.
    each
        How the measures are gone through.
    """
    draws = (each_once(len(resamples.group)), resamples)
    for own in masks:
        iou, measures, gain = own.iou, own.measures, _gain_of_routing(own, masks)
        ranked = [
            _Ranked(iou, measure, uncertainty, gain)
            for (_, measure), uncertainty in measures.items()
        ]
        oracles = [usefulness.aurc(1 - iou, 1 - iou, drawn) for drawn in draws]
        found = each(partial(_drawn_statistics, draws=draws, oracles=oracles), ranked)
        for (train_split, measure), (values, resampled) in zip(measures, found, strict=True):
            drawn = intervals(np.stack([resampled[key] for key in values]))
            for ((statistic, iou_below), (value,)), of_value in zip(
                values.items(), drawn, strict=True
            ):
                yield StatisticRow(
                    own.protocol,
                    train_split,
                    own.model,
                    measure,
                    statistic,
                    iou_below,
                    float(value),
                    of_value,
                )


def coverage_curves(masks: Iterable[JudgedMasks], n_points: int) -> Iterator[CoverageCurve]:
    """Curves of the bounds and of every measure."""
    for own in masks:
        risk = 1 - own.iou
        for (train_split, measure), uncertainty in (bounds(risk) | own.measures).items():
            curve = usefulness.risk_coverage(risk, uncertainty, n_points)
            yield CoverageCurve(own.protocol, train_split, own.model, measure, *curve)


def reliability_rows(
    masks: Iterable[JudgedMasks], resamples: Resamples
) -> Iterator[ReliabilityRow]:
    """Bins of every measure that is 1 - a predicted IoU."""
    for own in masks:
        iou = own.iou
        for (train_split, measure), uncertainty in own.measures.items():
            if not BY_NAME[measure].predicted_iou:
                continue
            predicted = predicted_iou(measure, uncertainty)
            found, resampled = (
                reliability(predicted, iou, drawn) for drawn in (each_once(len(iou)), resamples)
            )
            for place, ious in enumerate(resampled.iou.T):
                yield ReliabilityRow(
                    own.protocol,
                    train_split,
                    own.model,
                    measure,
                    place,
                    float(found.predicted_iou[0, place]),
                    float(found.iou[0, place]),
                    interval(ious),
                )


def of_largest(masks: Sequence[JudgedMasks]) -> list[JudgedMasks]:
    """Masks of the model that report tables and figures show."""
    largest = shown_model([one.model for one in masks])
    return [one for one in masks if one.model == largest]


def shown_model(models: Sequence[str]) -> str:
    """The model that report tables and figures show: the largest, the last of them."""
    return default_model("segmentation", models)


def _gain_of_routing(own: JudgedMasks, masks: Iterable[JudgedMasks]) -> Values | None:
    """What the largest model's IoUs add to masks of the smallest, which answers first."""
    of_models = [one for one in masks if one.protocol == own.protocol]
    is_first = own.model == of_models[0].model != of_models[-1].model
    return of_models[-1].iou - own.iou if is_first else None


def _drawn_statistics(
    ranked: _Ranked, draws: Iterable[Resamples], oracles: Iterable[Float[np.ndarray, "_"]]
) -> list[dict[StatisticKey, Float[np.ndarray, "_"]]]:
    return [
        _statistics(ranked, drawn, oracle) for drawn, oracle in zip(draws, oracles, strict=True)
    ]


def _statistics(
    ranked: _Ranked, drawn: Resamples, oracle: Resampled
) -> dict[StatisticKey, Resampled]:
    risk, measure, uncertainty = 1 - ranked.iou, ranked.measure, ranked.uncertainty
    area = usefulness.aurc(risk, uncertainty, drawn)
    found = {
        "aurc": area,
        "excess_aurc": area - oracle,
        "augrc": usefulness.augrc(risk, uncertainty, drawn),
        "pearson": usefulness.pearson(risk, uncertainty, drawn),
        "spearman": usefulness.spearman(risk, uncertainty, drawn),
    }
    if BY_NAME[measure].predicted_iou:
        predicted = predicted_iou(measure, uncertainty)
        found["calibration_error"] = reliability(predicted, ranked.iou, drawn).error
        found |= accuracy(predicted, ranked.iou, drawn)
    if ranked.gain is not None:
        found["routed"] = usefulness.share_to_match(ranked.gain, uncertainty, drawn)
    named: dict[StatisticKey, Resampled] = {(name, None): values for name, values in found.items()}
    for limit in FAILURE_IOUS:
        found = usefulness.detection(ranked.iou < limit, uncertainty, drawn)
        named |= {(name, limit): values for name, values in found.items()}
    return named
