"""Tables of the report that show how useful measures are: rows of its list of all tables."""

from typing import Final

from stages.tables.report_table import ReportTable
from stages.tables.use import (
    calibration_table,
    failure_table,
    pixel_table,
    promise_table,
    routing_table,
    selective_table,
)

SELECTIVE: Final = ReportTable(
    "selective",
    lambda given, _: selective_table(given.results),
    "Areas and correlations",
    "selective",
    caption="In %",
    note="Low AURC, excess AURC and AUGRC are good, and high correlations between a measure and "
    "the risk. AUGRC is 100 % minus the AUC of the correction Segmentation.",
    n_digits=1,
    across="statistic",
    is_by_protocol=True,
)


FAILURES: Final = ReportTable(
    "failures",
    lambda given, _: failure_table(given.results),
    "Failures detected",
    "selective",
    caption="In %",
    note="At random, AUROC is 50 % and AUPR the share of failures. FPR at 95 %: the share of the "
    "other masks that is flagged when 95 % of the failures are; low is good.",
    n_digits=1,
    across="statistic",
    is_by_protocol=True,
)


CALIBRATION: Final = ReportTable(
    "calibration",
    lambda given, _: calibration_table(given.results),
    "Predicted and true IoU",
    "calibration",
    caption="In percentage points of IoU",
    note="ECE: mean distance over ten bins of equal mass; with few objects it is above 0 even for "
    "calibrated predictions. RMSE: root mean square of predicted − true IoU; bias: their mean, "
    "above 0 if masks are worse than predicted.",
    n_digits=1,
    across="statistic",
    is_by_protocol=True,
)


PIXELS: Final = ReportTable(
    "pixels",
    lambda given, _: pixel_table(given.results),
    "Mask probabilities and the ground truth",
    "calibration",
    caption="ECE in %, Brier score and NLL times 100",
    note="Of all pixels of a mask, and of the band within 2 % of the mask's diagonal of the true "
    "outline, on either side; each object has the same weight. Low is good. NLL is in nats.",
    n_digits=2,
    across="statistic",
    is_by_protocol=True,
)


PROMISE_OF_ALL: Final = ReportTable(
    "promise_all",
    lambda given, _: promise_table(given.results, "all"),
    "Of all masks, few are kept wrongly",
    "promises",
    caption="In %",
    note="Promised by conformal risk control, on average over calibrations: the share of all masks "
    "that are not kept although their IoU falls short. Held: its mean over the splits. At "
    "least: a promise that holds falls below it by chance in one case of 40.",
    n_digits=1,
    across="told",
    is_by_protocol=True,
)


PROMISE_OF_KEPT: Final = ReportTable(
    "promise_kept",
    lambda given, _: promise_table(given.results, "kept"),
    "Of the kept masks, few fall short",
    "promises",
    caption="In %",
    note="Promised by Learn then Test, with 90 % confidence in the calibration: the share of the "
    "kept masks whose IoU does not fall short. Held: that share on the checked images. In splits: "
    "the share of the splits, at least 90 % by the promise, in which it holds for the images that "
    "did not propose thresholds; a promise that holds falls below the number beside it by chance "
    "in one case of 40. Where nothing is kept, half of the images are too few to show that a "
    "threshold holds.",
    n_digits=1,
    across="told",
    is_by_protocol=True,
)


ROUTING: Final = ReportTable(
    "routing",
    lambda given, _: routing_table(given.results, given.timed),
    "What it takes to match the large model",
    "routing",
    caption="In %",
    note="Smallest share of the clicks that must go on to the large model for the mean IoU to "
    "reach its own less one point, and the mean time per click then: above 100 %, the large model "
    "alone is faster. H_Y and H_Θ are not timed: they ask every model.",
    n_digits=1,
    across="told",
    is_by_protocol=True,
)
