"""Results of all eval splits as tables in the paper's form."""

from collections.abc import Mapping
from math import nan
from typing import Final

import numpy as np
import pandas as pd

from pipeline.evaluation import BOUNDS, IOU_GT, TASK_MEASURES, TASKS, default_model
from pipeline.measures import UNTRAINED_MEASURES
from pipeline.scoring import BASELINE
from pipeline.vocabulary import MODELS, TOKEN_SETS
from storage.results import SplitResults

Results = Mapping[str, SplitResults]
"""By eval split, at least one."""

CORRELATION_ROWS: Final = (
    IOU_GT,
    "sam_score",
    "h_std",
    "h_y",
    "h_theta",
    "h_a",
    "h_xp",
    "usam",
    "delta_theta_star",
    "delta_a_star",
    "delta_xp_star",
)
"""Rows and columns of the paper's Tables 5 and 15 to 17."""

VIEW_ROWS: Final = (
    "identity",
    "vflip",
    "hflip",
    "scale2",
    "gray",
    "gblur5",
    "gnoise",
    "jpeg10",
    "jpeg30",
)
"""Views in the order of the paper's Table 10."""

ABLATED: Final = ("no_mask", "no_iou", "best")
"""Token sets in the order of the paper's Table 6."""

METHOD_TOKENS: Final = ("", "best")
"""Of the measures that are the method's: without heads, or of its own."""

TOKEN_INDEX: Final = ["tokens", "task", "model", "measure", "trained_on"]

BOUNDS_OF: Final = ("_low", "_high")
"""Ends of the names of columns that bound the column before them."""

N_METRIC_DIGITS: Final = 6

Metrics = dict[str, dict[str, dict[str, float] | dict[str, dict[str, float]]]]
"""Split -> task -> measure -> ``relative_auc`` and ``auc`` with their bounds; split ->
``mean_iou`` -> model."""


def task_models(results: Results) -> dict[str, str]:
    """The model whose measures each task shows; only tasks that were evaluated."""
    first = next(iter(results.values()))
    models = tuple(first.auc["model"].unique())
    evaluated = set(first.auc["task"])
    return {task: default_model(task, models) for task in TASKS if task in evaluated}


def relative_table(results: Results, task: str) -> pd.DataFrame:
    """Relative AUC in percent and its bounds: the paper's Tables 1 to 4, a column a split."""
    return _a_column_a_split(_main_rows(results, task), ["measure", "trained_on"], "relative")


def overview_table(results: Results, split: str) -> pd.DataFrame:
    """Relative AUC in percent of one split and its bounds: a row a measure, a column a task."""
    found = {split: results[split]}
    first = first_train_split(results[split])
    columns: dict[str, pd.Series[float]] = {}
    for task in task_models(found):
        rows = relative_table(found, task)
        names = map(measure_name, rows["measure"], rows["trained_on"], [first] * len(rows))
        rows.index = pd.Index(list(names))
        columns |= {task + end: rows[split + end] for end in ("", *BOUNDS_OF)}
    # A frame of columns alone would sort the measures.
    order = list(dict.fromkeys(name for column in columns.values() for name in column.index))
    table = pd.DataFrame(columns, index=_untrained_first(order))
    return table.rename_axis("measure").reset_index()


def margin_table(results: Results) -> pd.DataFrame:
    """Relative AUC in percentage points beyond that of 1 - SamScore, with its bounds."""
    rows = pd.concat([_main_rows(results, task) for task in task_models(results)])
    rows = rows[rows["measure"] != BASELINE[-1]]
    return _a_column_a_split(rows, ["task", "model", "measure", "trained_on"], "margin")


def ablation_table(results: Results) -> pd.DataFrame:
    """Relative AUC in percent of heads without one of the tokens: the paper's Table 6.

    Returns
    -------
    With bounds; no row where no such heads were trained.

    Notes
    -----
    The paper's row of both tokens is nearest to its Tables 1 to 3 at Δ_Θ, Δ_Xp and Δ_A of COCO
    (63.66 = 63.66, 78.30 to 78.17, 94.82 to 94.85 %); the directly learned gaps stand beside them.
    """
    rows = _token_rows(results, ABLATED)
    rows = rows[rows["task"] != "segmentation"]
    return _a_column_a_split(rows, TOKEN_INDEX, "relative")


def selected_table(results: Results) -> pd.DataFrame:
    """Relative AUC in percent by whose tokens heads read: the best or the selected proposal's.

    Returns
    -------
    With bounds; no row where no heads of the selected proposal were trained.
    """
    return _a_column_a_split(_token_rows(results, ("best", "selected")), TOKEN_INDEX, "relative")


def token_margin_table(results: Results) -> pd.DataFrame:
    """Relative AUC of heads of other token sets beyond that of ``best``, in percentage points.

    Returns
    -------
    With bounds, of the differences themselves; no row where no such heads were trained.
    """
    rows = _token_rows(results, TOKEN_SETS)
    rows = rows[rows["tokens"] != "best"]
    return _a_column_a_split(rows, TOKEN_INDEX, "tokens_margin")


def absolute_table(results: Results, task: str) -> pd.DataFrame:
    """AUC in percent of every model and measure beside oracle and worst: Tables 11 to 14."""
    rows = _rows(results, "auc")
    rows = rows[(rows["task"] == task) & rows["tokens"].isin(METHOD_TOKENS)]
    of_model = rows.drop_duplicates(["split", "model"])
    bounds = [
        of_model.assign(
            measure=bound, trained_on="", auc=of_model[bound], auc_low=nan, auc_high=nan
        )
        for bound in ("oracle", "worst")
    ]
    both = _by_model(pd.concat([*bounds, rows]))
    return _a_column_a_split(both, ["model", "measure", "trained_on"], "auc")


def iou_table(results: Results) -> pd.DataFrame:
    """Mean IoU in percent of each model's best, selected and refined proposals, with its bounds."""
    rows = _rows(results, "iou")
    rows = rows[rows["view"] == "identity"]
    return _a_column_a_split(_by_model(rows), ["model", "proposal"], "mean_iou")


def view_table(results: Results) -> pd.DataFrame:
    """Mean IoU of each model's best proposal in each view, in percent: the paper's Table 10.

    Returns
    -------
    With bounds; ``<split>_difference`` is what the view adds to identity, in percentage points.
    """
    rows = _rows(results, "iou")
    rows = rows[rows["proposal"] == "best"].sort_values(
        "view", key=lambda view: view.map(VIEW_ROWS.index), kind="stable"
    )
    # Identity has no difference to itself.
    gains = ["gain" + end for end in ("", *BOUNDS_OF)]
    rows[gains] = rows[gains].where(rows["view"] != "identity")
    index = ["model", "view"]
    means = _a_column_a_split(_by_model(rows), index, "mean_iou")
    differences = _a_column_a_split(_by_model(rows), index, "gain", "_difference")
    return means.merge(differences, on=index)


def best_model_table(results: Results) -> pd.DataFrame:
    """Share of the objects on which each model is the best, in percent: the paper's Table 9.

    Notes
    -----
    By the best proposal from one click. Models that tie for the best share an object evenly, so
    that a column adds up to 100.
    """
    columns = {split: _best_shares(found.objects) for split, found in results.items()}
    table = pd.DataFrame(columns).mul(100).rename_axis("model").reset_index()
    return _by_model(table).reset_index(drop=True)


def correlation_table(found: SplitResults) -> pd.DataFrame:
    """Correlations of one split, in the rows and columns of the paper."""
    names = [name for name in CORRELATION_ROWS if name in found.correlation]
    blocks = [
        block.set_index("row").loc[names].reset_index()[["train_split", "model", "row", *names]]
        for _, block in found.correlation.groupby(["train_split", "model"], sort=False)
    ]
    return pd.concat(blocks, ignore_index=True)


def curve_table(results: Results, task: str) -> pd.DataFrame:
    """Curves of one task, a column a curve, for ``dvc plots``.

    A column has the plain name of its measure where split and heads are the first of all, so that
    ``dvc.yaml`` can name it; others are ``<split>:<measure>@<train split>``.
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
    """What ``dvc metrics show`` tells; a relative AUC that does not exist is left out."""
    told: Metrics = {}
    for split, found in results.items():
        iou = found.iou.query("view == 'identity' and proposal == 'best'").set_index("model")
        told[split] = {"mean_iou": {str(k): _rounded(v) for k, v in iou["mean_iou"].items()}}
        for task in task_models(results):
            told[split][task] = _task_metrics({split: found}, task)
    return told


def measure_name(measure: str, train_split: str, first: str) -> str:
    """Name of a measure that tells its heads unless they are the first."""
    return measure if train_split in {"", first} else f"{measure}@{train_split}"


def first_train_split(found: SplitResults) -> str:
    """The train split that comes first in the params; empty without heads."""
    return next(iter(found.run["heads"]), "")


def _task_metrics(results: Results, task: str) -> dict[str, dict[str, float]]:
    (found,) = results.values()
    first = first_train_split(found)
    told = {}
    for row in _main_rows(results, task).to_dict("records"):
        values = {
            name + end: row[column + end]
            for name, column in {"relative_auc": "relative", "auc": "auc"}.items()
            for end in ("", *BOUNDS_OF)
        }
        told[measure_name(row["measure"], row["trained_on"], first)] = {
            name: _rounded(value) for name, value in values.items() if pd.notna(value)
        }
    return told


def _rounded(value: float) -> float:
    return round(float(value), N_METRIC_DIGITS)


def _main_rows(results: Results, task: str) -> pd.DataFrame:
    """AUC rows of a task's default model and of the measures that its table shows."""
    rows = _task_rows(results, task)
    return rows[rows["tokens"].isin(METHOD_TOKENS)]


def _token_rows(results: Results, token_sets: tuple[str, ...]) -> pd.DataFrame:
    """AUC rows of all tasks, one token set after the other; none where ``best`` is alone."""
    rows = pd.concat([_task_rows(results, task) for task in task_models(results)])
    rows = rows[rows["tokens"].isin(token_sets)]
    if set(rows["tokens"]) <= {"best"}:
        return rows[:0]
    return rows.sort_values("tokens", key=lambda name: name.map(token_sets.index), kind="stable")


def _task_rows(results: Results, task: str) -> pd.DataFrame:
    """Like ``_main_rows``, of all token sets."""
    rows = _rows(results, "auc")
    rows = rows[(rows["task"] == task) & (rows["model"] == task_models(results)[task])]
    return rows.loc[rows["measure"].isin(TASK_MEASURES[task])]


def _rows(results: Results, table: str) -> pd.DataFrame:
    """One table of all splits below each other, with a column ``split``."""
    tables = {split: getattr(found, table) for split, found in results.items()}
    rows: pd.DataFrame = pd.concat([rows.assign(split=split) for split, rows in tables.items()])
    return rows.rename(columns={"train_split": "trained_on"})


def _untrained_first(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: name not in UNTRAINED_MEASURES)


def _by_model(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values("model", key=lambda model: model.map(MODELS.index), kind="stable")


def _best_shares(objects: pd.DataFrame) -> "pd.Series[float]":
    # Rows of a model are in the order of the objects; ids may repeat from video to video.
    by_model = {model: rows["iou"].to_numpy() for model, rows in objects.groupby("model")}
    iou = np.stack(list(by_model.values()))
    is_best = iou == iou.max(axis=0)
    return pd.Series((is_best / is_best.sum(axis=0)).mean(axis=1), index=list(by_model))


def _a_column_a_split(
    rows: pd.DataFrame, index: list[str], value: str, suffix: str = ""
) -> pd.DataFrame:
    """Pivot a value and its bounds to percent; rows and columns stay in their order."""
    in_order = pd.MultiIndex.from_frame(rows[index].drop_duplicates())
    columns = {
        f"{split}{suffix}{end}": of_split.set_index(index)[value + end]
        for split, of_split in rows.groupby("split", sort=False)
        for end in ("", *BOUNDS_OF)
    }
    return pd.DataFrame(columns).reindex(in_order).mul(100).reset_index()
