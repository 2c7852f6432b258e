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


PROMISES: Final = ReportTable(
    "promises",
    lambda given, _: promise_table(given.results),
    "Share of the masks that a promise keeps",
    "promises",
    caption="In %",
    note="Of all: on average over calibrations, at most a share α of an image's masks is kept and "
    "falls short of the IoU. Of kept: with 90 % confidence in the calibration, at most a share α "
    "of the kept masks falls short of it. Settings that keep nothing have no number. Calibrated "
    "on all images, as `usam gate` does: no other images test these promises here.",
    n_digits=1,
    across="promised",
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
