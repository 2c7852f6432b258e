"""Every statistic that says how useful a measure is, as the rows of one table."""

from dataclasses import dataclass
from typing import Final

FAILURE_IOUS: Final = (0.5, 0.75, 0.9)
"""Thresholds below which a mask counts as a failure."""


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
)
"""How well the pixels of masks agree with the ground truth, whatever the measure; in the order of
tables."""


def markdown() -> str:
    """All statistics as a table in Markdown."""
    lines = ["| statistic | name | what it is | table |", "| --- " * 4 + "|"]
    lines += [
        f"| {one.symbol} | `{one.name}` | {one.meaning} | `{one.table}` |"
        for one in (*STATISTICS, *PIXEL_STATISTICS)
    ]
    return "\n".join(lines) + "\n"
