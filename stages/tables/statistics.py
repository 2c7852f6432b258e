"""The list of all statistics in ``scores.csv``; report tables and docs take names from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_OF_MEASURES: Final = ("protocol", "train_split", "model", "measure")

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "corrections": ("protocol", "train_split", "tokens", "seed", "task", "model", "measure"),
    "masks": ("model", "view", "proposal"),
    "selective": _OF_MEASURES,
    "failures": (*_OF_MEASURES, "iou_at"),
    "calibration": _OF_MEASURES,
    "routing": _OF_MEASURES,
    "pixels": ("protocol", "model", "region"),
    "guarantees": (*_OF_MEASURES, "guarantee", "iou_at", "alpha"),
    "mask sets": (*_OF_MEASURES, "guarantee", "iou_at", "alpha"),
    "decisions": ("protocol", "train_split", "choice", "cost"),
    "better masks": ("protocol", "train_split", "model", "choice"),
}
"""Groups of statistics -> columns of ``scores.csv`` that identify a score of the group."""


@dataclass(frozen=True)
class Statistic:
    """Declares a statistic of ``scores.csv``: its name, symbol, meaning and group."""

    name: str
    symbol: str
    """Name of the statistic on the page and in docs."""
    meaning: str
    group: str
    """Group of the statistic, a key of ``GROUPS``."""
    is_share: bool = True
    """Whether tables of the report show it in percent."""


STATISTICS: Final = (
    Statistic(
        "auc",
        "AUC",
        "area under the mean IoU, the most uncertain objects corrected first",
        "corrections",
    ),
    Statistic("oracle", "oracle", "AUC in the order of the true gain", "corrections"),
    Statistic("worst", "worst", "AUC in the reverse order", "corrections"),
    Statistic(
        "relative",
        "relative AUC",
        "where `auc` lies between `worst` (0) and `oracle` (1)",
        "corrections",
    ),
    Statistic(
        "margin",
        "margin",
        "`relative` minus that of 1 − SamScore, same task and model; like the other differences, "
        "its interval is that of the difference itself, which is narrower than the two intervals "
        "suggest: both measures see the same resamples",
        "corrections",
    ),
    Statistic(
        "margin_p",
        "p",
        "two-sided p-value that `margin` is 0, of this comparison alone",
        "corrections",
        is_share=False,
    ),
    Statistic(
        "tokens_margin",
        "margin of tokens",
        "`relative` minus that of the same measure from both tokens of the judged proposal; of "
        "measures without heads, there is none",
        "corrections",
    ),
    Statistic("mean_iou", "mean IoU", "mean IoU of the masks", "masks"),
    Statistic(
        "gain",
        "gain",
        "mean IoU minus that of the mask, best or selected, of one click in the first view",
        "masks",
    ),
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
    Statistic("pearson", "Pearson", "correlation between the measure and 1 − IoU", "selective"),
    Statistic("spearman", "Spearman", "correlation of their ranks", "selective"),
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
        "root_mean_square", "RMSE", "root mean square of predicted − true IoU", "calibration"
    ),
    Statistic("bias", "bias", "mean of predicted − true IoU", "calibration"),
    Statistic(
        "routed",
        "sent on",
        "smallest share of the clicks, those on which tiny is most uncertain, that must go on to "
        "large for the mean IoU to reach that of large less one point",
        "routing",
    ),
    Statistic(
        "pixel_calibration_error",
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
    Statistic(
        "kept",
        "kept",
        "share of the masks that a threshold keeps under a guarantee, of the masks that it was "
        "calibrated on; a threshold that keeps nothing has no row",
        "guarantees",
    ),
    Statistic(
        "coverage",
        "coverage",
        "share of the sets that have a good proposal; sets are calibrated on half of the images "
        "and checked on the others, the mean over such halves; targets out of reach have no row",
        "mask sets",
    ),
    Statistic(
        "n_masks", "proposals", "mean number of proposals in a set", "mask sets", is_share=False
    ),
    Statistic(
        "n_masks_margin",
        "more",
        "`n_masks` minus that of sets by SamScore",
        "mask sets",
        is_share=False,
    ),
    Statistic(
        "regret",
        "regret",
        "mean IoU, costs deducted, that a way to choose loses to the best choice of each object",
        "decisions",
    ),
    Statistic(
        "fixed_margin",
        "margin over fixed",
        "mean IoU, costs deducted, that a way to choose gains over the best choice for all alike",
        "decisions",
    ),
    Statistic("mask_iou", "mean IoU", "mean IoU of the masks", "better masks"),
    Statistic(
        "mask_gain",
        "gain",
        "mean IoU minus that of the selected masks, cut at 0.5, at the same size",
        "better masks",
    ),
    Statistic(
        "changed", "changed", "share of the objects whose IoU is another then", "better masks"
    ),
    Statistic(
        "gained", "gained", "share of the objects that gain more than 0.01 of IoU", "better masks"
    ),
    Statistic(
        "lost", "lost", "share of the objects that lose more than 0.01 of IoU", "better masks"
    ),
)
"""All statistics, in the order of tables."""

BY_NAME: Final[Mapping[str, Statistic]] = {statistic.name: statistic for statistic in STATISTICS}


def of_group(group: str) -> tuple[str, ...]:
    """Names of the statistics in a group of ``GROUPS``, in the order of ``STATISTICS``."""
    return tuple(statistic.name for statistic in STATISTICS if statistic.group == group)
