"""Results of all eval splits as tables in the paper's form."""

from itertools import product
from math import nan
from typing import Any, Final

import pandas as pd

from pipeline.scoring.curves import BOUNDS
from pipeline.scoring.measures import MEASURES, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.rows import BASELINE
from pipeline.vocabulary import PROTOCOLS
from stages.tables.paper import paper_numbers
from stages.tables.rows import (
    BOUNDS_OF,
    METHOD_TOKENS,
    Results,
    a_column_a_split,
    all_rows,
    first_train_split,
    main_rows,
    measure_name,
    models_in_order,
    of_protocol,
    task_models,
)
from storage.outputs.results import SplitResults

N_METRIC_DIGITS: Final = 6

Metrics = dict[str, dict[str, dict[str, Any]]]
"""Split -> protocol -> task -> measure -> ``relative_auc`` and ``auc`` with their bounds; split ->
protocol -> ``mean_iou`` -> model."""


def relative_table(results: Results, task: str) -> pd.DataFrame:
    """Relative AUC in percent and its bounds: the paper's Tables 1 to 4, a column per split."""
    return a_column_a_split(main_rows(results, task), ["measure", "trained_on"], "relative")


def overview_table(results: Results, split: str) -> pd.DataFrame:
    """Relative AUC in percent of one split and its bounds: a row per measure, a column per task."""
    found = {split: results[split]}
    first = first_train_split(results[split])
    columns: dict[str, pd.Series[float]] = {}
    for task in task_models(found):
        rows = relative_table(found, task)
        names = map(measure_name, rows["measure"], rows["trained_on"], [first] * len(rows))
        rows.index = pd.Index(list(names))
        columns |= {task + end: rows[split + end] for end in ("", *BOUNDS_OF)}
    # A frame made of columns alone would sort the measures.
    order = list(dict.fromkeys(name for column in columns.values() for name in column.index))
    table = pd.DataFrame(columns, index=_untrained_first(order))
    return table.rename_axis("measure").reset_index()


def margin_table(results: Results) -> pd.DataFrame:
    """Relative AUC in percentage points beyond that of 1 - SamScore, with its bounds."""
    rows = pd.concat([main_rows(results, task) for task in task_models(results)])
    rows = rows[rows["measure"] != BASELINE[-1]]
    return a_column_a_split(rows, ["task", "model", "measure", "trained_on"], "margin")


def absolute_table(results: Results, task: str) -> pd.DataFrame:
    """AUC in percent of every model and measure beside oracle and worst: Tables 11 to 14."""
    rows = all_rows(results, "auc")
    rows = rows[(rows["task"] == task) & rows["tokens"].isin(METHOD_TOKENS)]
    of_model = rows.drop_duplicates(["split", "model"])
    bounds = [
        of_model.assign(
            measure=bound, trained_on="", auc=of_model[bound], auc_low=nan, auc_high=nan
        )
        for bound in ("oracle", "worst")
    ]
    both = models_in_order(pd.concat([*bounds, rows]))
    return a_column_a_split(both, ["model", "measure", "trained_on"], "auc")


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


def curve_table(results: Results, task: str) -> pd.DataFrame:
    """Curves of one task, a column per curve.

    A column has the plain name of its measure if split and heads are the first; others are
    ``<split>:<measure>@<train split>``.
    """
    columns: dict[str, pd.Series[float]] = {}
    for i, (split, found) in enumerate(results.items()):
        curves = found.curves[found.curves["task"] == task]
        curves = curves[curves["measure"].isin((*BOUNDS, *TASK_MEASURES[task]))]
        prefix, first = f"{split}:" if i else "", first_train_split(found)
        for key, curve in curves.groupby(["train_split", "measure"], sort=False):
            train_split, measure = map(str, key)
            points = curve.set_index("corrected_fraction")["mean_iou"]
            columns[prefix + measure_name(measure, train_split, first)] = points
    return pd.DataFrame(columns).reset_index()


def metrics(results: Results) -> Metrics:
    """What ``dvc metrics show`` prints; a relative AUC that does not exist is left out."""
    numbers: Metrics = {}
    for split, protocol in product(results, PROTOCOLS):
        found = of_protocol({split: results[split]}, protocol)
        iou = found[split].iou.query("view == 'identity' and proposal == @protocol")
        means = iou.set_index("model")["mean_iou"]
        own: dict[str, Any] = {"mean_iou": {str(k): _rounded(v) for k, v in means.items()}}
        own |= {task: _task_metrics(found, task) for task in task_models(found)}
        numbers.setdefault(split, {})[protocol] = own
    return numbers


def _task_metrics(results: Results, task: str) -> dict[str, dict[str, float]]:
    (found,) = results.values()
    first = first_train_split(found)
    numbers = {}
    for row in main_rows(results, task).to_dict("records"):
        values = {
            name + end: row[column + end]
            for name, column in {"relative_auc": "relative", "auc": "auc"}.items()
            for end in ("", *BOUNDS_OF)
        }
        numbers[measure_name(row["measure"], row["trained_on"], first)] = {
            name: _rounded(value) for name, value in values.items() if pd.notna(value)
        }
    return numbers


def _rounded(value: float) -> float:
    return round(float(value), N_METRIC_DIGITS)


def _untrained_first(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: name not in UNTRAINED_MEASURES)
