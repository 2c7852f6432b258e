"""Tables of how well measures predict corrections, and the metrics that DVC shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import nan
from typing import Final

import pandas as pd

from pipeline.heads.kinds import HEAD_KINDS, PAPER, HeadKind
from pipeline.scoring.corrections import BASELINE, BOUNDS
from pipeline.scoring.measures import MEASURES, OF_KIND, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.vocabulary import ABLATIONS, JUDGED
from stages.tables import report_table
from stages.tables.paper import paper_numbers
from storage.outputs.results import SplitResults

N_METRIC_DIGITS: Final = 6

BOTH: Final = "both"
"""The method's own heads, which read both tokens."""

ABLATED: Final = (*ABLATIONS, BOTH)
"""Tokens that heads read, in the order of the paper's Table 6."""

TOKEN_INDEX: Final = ["tokens", "task", "model", "measure", "trained_on"]

FOLLOWED: Final = "selected"
"""Protocol of the metrics; tables have both."""

Metrics = dict[str, dict[str, dict[str, float]]]
"""Split -> task -> measure -> relative AUC; split -> ``mean_iou`` -> model."""


@dataclass(frozen=True)
class RadarLine:
    """A line around the radar: the heads' own measure for each task."""

    name: str
    symbol: str
    colour: str
    measures: Mapping[str, str]
    """Measure by task."""
    is_dashed: bool


def _of_heads(kind: HeadKind, line: str, symbol: str, *, is_dashed: bool) -> RadarLine:
    name = kind.named(line)
    of_task = {task: m.name for m in MEASURES if name in m.radar_lines for task in m.tasks}
    return RadarLine(name, symbol + kind.label, kind.colour, of_task, is_dashed)


RADAR_LINES: Final = tuple(
    line
    for kind in HEAD_KINDS
    for line in (
        _of_heads(kind, "gaps", "Δ and 1 − USAM", is_dashed=False),
        _of_heads(kind, "gaps_star", "Δ* and 1 − USAM", is_dashed=True),
    )
)
"""Lines of heads of each kind; a measure without heads is a line of its own."""


def relative_table(results: report_table.Results, task: str) -> pd.DataFrame:
    """Relative AUC in percent and its bounds: the paper's Tables 1 to 4, a column per split."""
    return report_table.a_column_a_split(
        report_table.main_rows(results, task), ["measure", "trained_on"], "relative"
    )


def overview_table(results: report_table.Results, split: str) -> pd.DataFrame:
    """Relative AUC in percent of one split and its bounds: a row per measure, a column per task."""
    found = {split: results[split]}
    first = report_table.first_train_split(results[split])
    columns: dict[str, pd.Series[float]] = {}
    for task in report_table.task_models(found):
        rows = relative_table(found, task)
        rows.index = pd.Index(report_table.measure_names(rows, first))
        columns |= {task + end: rows[split + end] for end in report_table.WITH_BOUNDS}
    # A frame made of columns alone would sort the measures.
    order = list(dict.fromkeys(name for column in columns.values() for name in column.index))
    order.sort(key=lambda name: name not in UNTRAINED_MEASURES)
    table = pd.DataFrame(columns, index=order)
    return table.rename_axis("measure").reset_index()


def margin_table(results: report_table.Results) -> pd.DataFrame:
    """Relative AUC in percentage points beyond that of 1 - SamScore, with its bounds."""
    rows = pd.concat(
        [report_table.main_rows(results, task) for task in report_table.task_models(results)]
    )
    rows = rows[rows["measure"] != BASELINE[-1]]
    return report_table.a_column_a_split(rows, ["task", "model", "measure", "trained_on"], "margin")


def absolute_table(results: report_table.Results, task: str) -> pd.DataFrame:
    """AUC in percent of every model and measure beside oracle and worst: Tables 11 to 14."""
    rows = report_table.all_rows(results, "auc")
    rows = rows[(rows["task"] == task) & rows["tokens"].isin(report_table.METHOD_TOKENS)]
    of_model = rows.drop_duplicates(["split", "model"])
    bounds = [
        of_model.assign(
            measure=bound, trained_on="", auc=of_model[bound], auc_low=nan, auc_high=nan
        )
        for bound in ("oracle", "worst")
    ]
    both = report_table.models_in_order(pd.concat([*bounds, rows]))
    return report_table.a_column_a_split(both, ["model", "measure", "trained_on"], "auc")


def ablation_table(results: report_table.Results) -> pd.DataFrame:
    """Relative AUC in percent of heads without one of the tokens: the paper's Table 6.

    Returns
    -------
    With bounds; no rows if no such heads were trained.

    Notes
    -----
    The paper's row of both tokens is nearest to its Tables 1 to 3 at Δ_Θ, Δ_Xp and Δ_A of COCO
    (63.66 = 63.66, 78.30 to 78.17, 94.82 to 94.85 %); the directly learned gaps stand beside them.
    """
    rows = _token_rows(results)
    rows = rows[rows["task"] != "segmentation"]
    return report_table.a_column_a_split(rows, TOKEN_INDEX, "relative")


def token_margin_table(results: report_table.Results) -> pd.DataFrame:
    """Relative AUC of heads without a token minus that of the method's, in percentage points.

    Returns
    -------
    With bounds of the differences themselves; no rows if no such heads were trained.
    """
    rows = _token_rows(results)
    return report_table.a_column_a_split(rows[rows["tokens"] != BOTH], TOKEN_INDEX, "tokens_margin")


def radar_table(found: SplitResults) -> pd.DataFrame:
    """Relative AUC in percent: a row per line of the radar and train split, a column per task.

    Notes
    -----
    The relative AUC is the area between a measure's curve and the worst one, as a share of the
    area between the oracle's and the worst. A task's own model is that of ``task_models``.
    """
    models = report_table.task_models({"": found})
    is_shown = (found.auc["model"] == found.auc["task"].map(models)) & (
        found.auc["tokens"].isin(report_table.METHOD_TOKENS)
    )
    relative = found.auc[is_shown].set_index(["train_split", "task", "measure"])["relative"]
    percent = relative.mul(100).to_dict()
    lines = [("", name, dict.fromkeys(models, name)) for name in UNTRAINED_MEASURES]
    lines += [
        (train_split, line.name, dict(line.measures))
        for train_split, line in product(found.run["heads"], RADAR_LINES)
    ]
    rows = [
        {"measure": name, "trained_on": train_split}
        | {task: percent.get((train_split, task, measures.get(task)), nan) for task in models}
        for train_split, name, measures in lines
    ]
    table = pd.DataFrame(rows)
    # Some measures are not shown where the selected mask is judged.
    return table.dropna(subset=list(models), how="all").reset_index(drop=True)


def correlation_table(found: SplitResults) -> pd.DataFrame:
    """Correlations of all measures of one split, the paper's rows and columns first."""
    known = set(found.correlation["row"])
    names = [name for name in correlation_names() if name in known]
    blocks = [
        block.set_index("row").loc[names].reset_index()[["train_split", "model", "row", *names]]
        for _, block in found.correlation.groupby(["train_split", "model"], sort=False)
    ]
    return pd.concat(blocks, ignore_index=True)


def correlation_names() -> list[str]:
    """Rows and columns of the paper's Tables 5 and 15 to 17, then what those leave out."""
    of_paper = [str(name) for name in paper_numbers("correlation").columns[2:]]
    return list(dict.fromkeys([*of_paper, *(measure.name for measure in MEASURES)]))


def curve_table(results: report_table.Results, task: str) -> pd.DataFrame:
    """Curves of one task, a column per curve.

    A column has the plain name of its measure if split and heads are the first; others are
    ``<split>:<measure>@<train split>``.
    """
    columns: dict[str, pd.Series[float]] = {}
    for i, (split, found) in enumerate(results.items()):
        curves = found.curves[found.curves["task"] == task]
        curves = curves[curves["measure"].isin((*BOUNDS, *TASK_MEASURES[task]))]
        prefix, first = f"{split}:" if i else "", report_table.first_train_split(found)
        for key, curve in curves.groupby(["train_split", "measure"], sort=False):
            train_split, measure = map(str, key)
            points = curve.set_index("corrected_fraction")["mean_iou"]
            columns[prefix + report_table.measure_name(measure, train_split, first)] = points
    return pd.DataFrame(columns).reset_index()


def metrics(results: report_table.Results) -> Metrics:
    """What ``dvc metrics show`` prints: for the masks that a user has, how good they are and, of
    SamScore and of the measures of the gallery, how well they predict each correction.

    A relative AUC that does not exist is left out, and so are heads of all but the first split.
    """
    numbers: Metrics = {}
    for split in results:
        found = report_table.of_protocol({split: results[split]}, FOLLOWED)
        iou = found[split].iou.query("view == 'identity' and proposal == @FOLLOWED")
        means = iou.set_index("model")["mean_iou"]
        numbers[split] = {"mean_iou": {str(k): _rounded(v) for k, v in means.items()}}
        numbers[split] |= {
            task: _task_metrics(found, task) for task in report_table.task_models(found)
        }
    return numbers


def _task_metrics(results: report_table.Results, task: str) -> dict[str, float]:
    (found,) = results.values()
    rows = report_table.main_rows(results, task)
    shown = {BASELINE[-1], *(measure.name for measure in MEASURES if measure.gallery == task)}
    of_first = rows["trained_on"].isin(["", report_table.first_train_split(found)])
    relative = rows[of_first & rows["measure"].isin(shown)].set_index("measure")["relative"]
    return {str(name): _rounded(value) for name, value in relative.dropna().items()}


def _rounded(value: float) -> float:
    return round(float(value), N_METRIC_DIGITS)


def _token_rows(results: report_table.Results) -> pd.DataFrame:
    """AUC rows of all tasks by what the heads read; none if no head lacks a token."""
    rows = pd.concat(
        [report_table.task_rows(results, task) for task in report_table.task_models(results)]
    )
    rows = rows[rows["measure"].isin(OF_KIND[PAPER])]
    # The judged proposal follows from the task, which has its own column.
    labels = dict.fromkeys(JUDGED, BOTH)
    labels |= {f"{judged}_{lack}": lack for judged in JUDGED for lack in ABLATIONS}
    rows = rows.assign(tokens=rows["tokens"].map(labels))
    if set(rows["tokens"]) <= {BOTH}:
        return rows[:0]
    return rows.sort_values("tokens", key=lambda name: name.map(ABLATED.index), kind="stable")
