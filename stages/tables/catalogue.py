"""The list of all tables of the report, from which the CSV files and the page are made."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

import pandas as pd

from pipeline.annotations import DOUBTED
from pipeline.better_masks import SELECTED, SELECTED_CODES
from pipeline.heads.kinds import PAPER
from pipeline.mask_sets import SETS
from pipeline.scoring.calibration import CALIBRATION
from pipeline.scoring.measures import BASELINE, KNOWS_TRUTH, OF_KIND
from pipeline.scoring.people import DRAWN, TRUTHS
from pipeline.scoring.scores import names_of
from pipeline.scoring.usefulness import SELECTIVE
from pipeline.vocabulary import JUDGED, PROTOCOLS
from stages.tables import paper, special_tables
from stages.tables.pivot import (
    Pivot,
    is_of_largest,
    is_of_method,
    is_of_task,
    is_shown,
)
from stages.tables.report_table import Inputs, ReportTable, Results
from storage.outputs.csv_forms import FLOAT_FORMAT, RUNTIME_FORMAT

Tables = Mapping[str, pd.DataFrame]
"""Tables of the report by the path of their CSV, without its ending."""

TRIAL_FORMAT: Final = "%.5g"
"""Format of the numbers in the table of trials, with as many digits as the paper's Table 8."""

OF_MEASURE: Final = ("measure", "trained_on")
"""Columns that identify a measure: its name, and the train split of its heads."""

OF_TOKENS: Final = ("tokens", "task", "model", *OF_MEASURE)
"""Columns that identify a measure of heads, with the tokens that the heads read."""


def _is_compared(scores: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each score is of a measure that is compared with 1 - SamScore.

    1 - SamScore itself and measures that know the ground truth are not.
    """
    return is_shown(scores) & ~scores["measure"].isin([BASELINE, *KNOWS_TRUTH])


def _is_absolute(scores: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each score is in the tables of the AUC: without heads, or of heads of both tokens.

    The oracle and the worst order have the same AUC for every measure: those of 1 - SamScore stand
    for all.
    """
    is_once = (scores["statistic"] == "auc") | (scores["measure"] == BASELINE)
    return is_of_method(scores) & is_once


def _lacks_input(scores: pd.DataFrame) -> "pd.Series[bool]":
    return is_of_task(scores) & ~is_of_method(scores)


def _is_ablated(scores: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each score is of a gap that heads of the kind ``paper`` predict, from any token set.

    False for all scores if all heads read both tokens.
    """
    is_papers = is_of_task(scores) & scores["measure"].isin(OF_KIND[PAPER])
    is_gap = is_papers & (scores["task"] != "segmentation")
    return is_gap & bool((is_papers & _lacks_input(scores)).any())


def _is_in_view(scores: pd.DataFrame) -> "pd.Series[bool]":
    """Whether each score is of the best or the selected mask of one click, in any view.

    False for the difference of the view ``identity`` to itself.
    """
    is_itself = (scores["statistic"] == "gain") & (scores["view"] == "identity")
    return scores["proposal"].isin(JUDGED) & ~is_itself


def _ranked_objects(gallery: pd.DataFrame) -> pd.DataFrame:
    """Rows of a gallery in which a measure ranks the object, without rows of doubted annotations.

    Columns that say nothing of the ranking are left out.
    """
    is_ranked = gallery["end"] != DOUBTED
    return gallery[is_ranked].drop(columns=["protocol", "prompt", "expected_iou", "picture"])


_DRAWN_NOTE: Final = (
    " Clicks are drawn uniformly from objects and weigh as much as the object's area, so that they "
    "stand for the pixels of the images, as far as objects cover these. Each image counts once."
)


def _people_tables(
    ending: str, statistics: Mapping[str, str], clicks: str, note: str
) -> tuple[ReportTable, ReportTable]:
    """Tables of what follows people's disagreement, and of masks and persons under each truth.

    ``statistics`` has the names of the statistics of these ``clicks``.
    """
    ranks = Pivot((statistics["people_rank"],), ("model", *OF_MEASURE))
    truths = tuple(statistics[f"truth_iou_{name}"] for name in TRUTHS)
    ious = Pivot(truths, ("model", "mask", "statistic"), order=("model", "choice"))
    return (
        ReportTable(
            f"people{ending}_{{split}}",
            lambda inputs, split: ranks.table({split: inputs.results[split]}),
            f"What follows people's disagreement{clicks}",
            "people",
            caption=f"Spearman's correlation in %{clicks}",
            note="Disagreement is 1 − the mean IoU of two persons' segments around the click."
            + note,
            across="model",
            marks="above 0",
        ),
        ReportTable(
            f"people_iou{ending}_{{split}}",
            lambda inputs, split: ious.table({split: inputs.results[split]}),
            f"Masks and persons under each truth{clicks}",
            "people",
            caption=f"Mean IoU in %{clicks}",
            note="With the annotation at hand, with a person drawn at random, with the nearest, "
            "and with those left out, who did not outline the annotation at hand. Masks are "
            "compared at the size of the mask codes. A person in the model's place is compared "
            "with the others, at the resolution of the image." + note,
            across="statistic",
        ),
    )


RADAR: Final = ReportTable(
    "figure6_radar_{split}",
    lambda inputs, split: special_tables.radar_table(inputs.results[split]),
    "All four corrections at once",
    "radar",
)

CORRELATION: Final = ReportTable(
    "correlation_{split}",
    lambda inputs, split: paper.correlation_beside_paper(
        special_tables.correlation_table(inputs.results[split]),
        inputs.data_sets.get(split),
        inputs.data_sets,
    ),
    "Correlation of the measures",
    "correlation",
)

TRIALS: Final = ReportTable(
    "trials",
    lambda inputs, _: inputs.trials,
    "Trials of hyperparameters",
    "trials",
    paper_table=8,
    number_format=TRIAL_FORMAT,
    is_by_protocol=False,
)

RUNTIME: Final = ReportTable(
    "runtime",
    lambda inputs, _: paper.runtime_beside_paper(inputs.timed),
    "Runtime",
    "runtime",
    paper_table=7,
    number_format=RUNTIME_FORMAT,
    is_by_protocol=False,
)

REPORT_TABLES: Final = (
    ReportTable(
        "margin",
        Pivot(("margin",), ("task", "model", *OF_MEASURE), _is_compared),
        "Margin over 1 − SamScore",
        "overview",
        caption="Margin in percentage points of relative AUC",
        note="How far the relative AUC lies above that of 1 − SamScore of the same masks, for the "
        "same task and model. If the whole interval is above 0 (marked), the measure "
        "predicts the gains better on images of this kind.",
        across="task",
        marks="above 0",
    ),
    ReportTable(
        "{task}",
        Pivot(("relative",), OF_MEASURE, is_shown),
        "Relative AUC",
        "curves",
        caption="Relative AUC in %",
        paper_table=1,
        paper="relative",
        marks="best",
    ),
    ReportTable(
        "{task}_auc",
        Pivot(
            ("oracle", "worst", "auc"),
            ("model", *OF_MEASURE),
            _is_absolute,
            order=("model", "statistic"),
        ),
        "AUC of every model and measure",
        "curves",
        n_digits=2,
        caption="AUC in %",
        paper_table=11,
        paper="auc",
        across="model",
    ),
    ReportTable(
        "figure5_{task}",
        lambda inputs, task: special_tables.curve_table(inputs.results, task),
        "Correction curves",
        "curves",
        number_format=FLOAT_FORMAT,
    ),
    RADAR,
    ReportTable(
        "selective",
        Pivot(names_of(SELECTIVE), (*OF_MEASURE, "statistic"), is_of_largest),
        "Area under the risk",
        "selective",
        caption="In %",
        note="A low AURC is good.",
        across="statistic",
    ),
    ReportTable(
        "calibration",
        Pivot(names_of(CALIBRATION), ("model", *OF_MEASURE, "statistic")),
        "Predicted and true IoU",
        "calibration",
        caption="In percentage points of IoU",
        note="ECE: mean distance over ten bins of equal mass; with few objects it is above 0 even "
        "for calibrated predictions. RMSE: root mean square of predicted − true IoU; bias: "
        "their mean, above 0 if masks are worse than predicted.",
        across="statistic",
        is_of_predicted_iou=True,
    ),
    ReportTable(
        "mask_sets",
        Pivot(names_of(SETS), ("sets", *OF_MEASURE, "statistic"), order=("statistic",)),
        "Sets of proposals of which one is good",
        "sets",
        n_digits=2,
        caption="Coverage in %, proposals per set",
        note="The fewest of the three proposals of the largest model of which, in such a share of "
        "the sets, one reaches the IoU. Calibrated on half of the images and checked on the "
        "others, over 100 halves; more: than in sets by 1 − SamScore. Isotonic: SamScores "
        "calibrated on the train split. Targets for which too often no proposal is good have no "
        "row.",
        across="statistic",
    ),
    ReportTable(
        "token_ablation",
        Pivot(
            ("relative",),
            OF_TOKENS,
            _is_ablated,
            order=("tokens",),
        ),
        "Without one of the tokens",
        "tokens",
        caption="Relative AUC in %",
        paper_table=6,
        paper="ablation",
        across="tokens",
    ),
    ReportTable(
        "token_margin",
        Pivot(
            ("tokens_margin",),
            OF_TOKENS,
            _lacks_input,
            order=("tokens",),
        ),
        "Without one of the tokens, compared with both",
        "tokens",
        caption="Relative AUC beyond that of both tokens, in percentage points",
        across="tokens",
        marks="above 0",
    ),
    ReportTable(
        "iou",
        Pivot(("mean_iou",), ("model", "proposal"), lambda scores: scores["view"] == "identity"),
        "By proposal",
        "iou",
        n_digits=2,
        caption="Mean IoU in %, by proposal",
        note="The best of the three proposals, and the selected one (with the highest SamScore), "
        "from one click; refined: the same from all eight clicks together.",
        across="model",
        is_by_protocol=False,
    ),
    ReportTable(
        "better_masks",
        Pivot(("mask_iou",), ("model", "mask"), order=("model", "choice"), difference="mask_gain"),
        "Masks that may be better",
        "iou",
        n_digits=2,
        caption="Mean IoU in %",
        note="Masks beside the selected one of a click, and their difference to it. The best fixed "
        "cut is that of the train split; learned cuts and proposals are those of the highest IoU "
        "that heads expect. Means of probabilities are scored at the size of the mask codes, and "
        "compared with the selected mask at that size; at the resolution of the image, they gain "
        "less. A mean takes as many runs of a model as it has masks.",
        across="model",
    ),
    ReportTable(
        "better_masks_objects",
        Pivot(
            ("changed", "gained", "lost"),
            ("model", "mask", "statistic"),
            lambda scores: ~scores["choice"].isin([SELECTED, SELECTED_CODES]),
            order=("statistic", "model", "choice"),
        ),
        "Objects that change with another mask",
        "iou",
        caption="Share of the objects in %",
        note="Objects whose IoU changes beside the selected mask, and that gain or lose more than "
        "a point of IoU.",
        across="statistic",
    ),
    ReportTable(
        "best_model",
        lambda inputs, _: special_tables.best_model_table(inputs.results),
        "Where each model is the best",
        "iou",
        n_digits=2,
        caption="Share of the objects in %",
        note="Objects for which no other model's mask from one click is better; models that tie "
        "share an object.",
        of_objects=("judged", "model", "iou"),
        paper_table=9,
        paper="best_model",
        across="model",
    ),
    ReportTable(
        "iou_by_view",
        Pivot(
            ("mean_iou",),
            ("model", "view"),
            _is_in_view,
            order=("model", "view"),
            difference="gain",
        ),
        "By view",
        "iou",
        n_digits=2,
        caption="Mean IoU in %, by view",
        note="Mean IoU of the mask from one click, and its difference to that on the unchanged "
        "image.",
        paper_table=10,
        paper="view",
        across="model",
    ),
    *_people_tables("", {name: name for name in DRAWN}, "", ""),
    *_people_tables("_drawn", DRAWN, ", drawn clicks", _DRAWN_NOTE),
    ReportTable(
        "annotations_{split}",
        lambda inputs, split: inputs.results[split].annotations.drop(columns=["protocol"]),
        "Annotations to check",
        "gallery",
        number_format=FLOAT_FORMAT,
    ),
    ReportTable(
        "figures4_7_8_gallery_{split}",
        lambda inputs, split: _ranked_objects(inputs.galleries[split]),
        "The most and the least uncertain objects",
        "gallery",
        number_format=FLOAT_FORMAT,
    ),
    CORRELATION,
    TRIALS,
    RUNTIME,
)
"""All tables of the report, in the order of the page."""


def columns_of_objects() -> set[str]:
    """Names of the columns of ``objects.csv`` that the tables of the report need."""
    return {"protocol"}.union(*(row.of_objects for row in REPORT_TABLES))


def report_tables(inputs: Inputs) -> dict[str, pd.DataFrame]:
    """Make the tables of the report, with the paper's numbers where it has some.

    Returns
    -------
    The tables by the path of their CSV without its ending, such as ``selected/margin``, in the
    order of ``REPORT_TABLES``. Tables without a row are left out.
    """
    tables = {}
    by_protocol = {protocol: inputs.of_protocol(protocol) for protocol in PROTOCOLS}
    for row, protocol, subject in _each(inputs.results):
        own_inputs = by_protocol.get(protocol, inputs)
        table = row.make(own_inputs, subject)
        if row.paper:
            numbers = paper.paper_numbers(row.paper, subject)
            table = paper.beside_paper(table, numbers, own_inputs.data_sets)
        tables[row.file(subject, protocol)] = table
    return {name: table for name, table in tables.items() if not table.empty}


def number_formats(results: Results) -> dict[str, str]:
    """Format of the numbers, such as ``%.2f``, of each table by its CSV's path without ending.

    Tables without a row, which ``report_tables`` leaves out, are there.
    """
    return {
        row.file(subject, protocol): row.number_format for row, protocol, subject in _each(results)
    }


def _each(results: Results) -> Iterator[tuple[ReportTable, str, str]]:
    """Yield each table with each of its protocols, and with each of its tasks or splits.

    The protocol is empty for a table of all protocols; likewise the task or split.
    """
    for row in REPORT_TABLES:
        for protocol, subject in product(row.protocols, row.each(results)):
            yield row, protocol, subject
