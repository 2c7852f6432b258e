"""What the tables of results share: which rows they show, and a column per split."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pandas as pd

from pipeline.result_rows import SPLIT_TABLES
from pipeline.scoring.measures import TASK_MEASURES
from pipeline.scoring.tasks import REFINED, default_model
from pipeline.vocabulary import JUDGED, MODELS, TASKS
from storage.outputs.results import SplitResults

Results = Mapping[str, SplitResults]
"""Results by eval split, at least one; tables of a protocol are made from its rows alone."""

METHOD_TOKENS: Final = ("", *JUDGED)
"""Token sets of the method's own measures: none, or those of the judged proposal."""

BOUNDS_OF: Final = ("_low", "_high")
"""Ends of the names of columns that bound the column before them."""


def of_protocol(results: Results, protocol: str) -> Results:
    """Rows of one protocol from every table; among mean IoUs, those of its masks."""
    return {split: _of_protocol(found, protocol) for split, found in results.items()}


def _of_protocol(found: SplitResults, protocol: str) -> SplitResults:
    tables = {
        name: getattr(found, name)
        for name, table in SPLIT_TABLES.items()
        if "protocol" in table.columns
    }
    own = {
        name: table[table["protocol"] == protocol].reset_index(drop=True)
        for name, table in tables.items()
    }
    is_own = found.iou["proposal"].isin([protocol, REFINED[protocol]])
    return replace(found, **own, iou=found.iou[is_own].reset_index(drop=True))


def task_models(results: Results) -> dict[str, str]:
    """The model whose measures each task shows, for tasks that were evaluated."""
    first = next(iter(results.values()))
    models = tuple(first.auc["model"].unique())
    evaluated = set(first.auc["task"])
    return {task: default_model(task, models) for task in TASKS if task in evaluated}


def measure_name(measure: str, train_split: str, first: str) -> str:
    """Name of a measure, with the train split of its heads unless that is the first."""
    return measure if train_split in {"", first} else f"{measure}@{train_split}"


def first_train_split(found: SplitResults) -> str:
    """The first train split of the params; empty without heads."""
    return next(iter(found.run["heads"]), "")


def main_rows(results: Results, task: str) -> pd.DataFrame:
    """AUC rows of a task's default model and the measures that its table shows."""
    rows = task_rows(results, task)
    return rows[rows["tokens"].isin(METHOD_TOKENS)]


def task_rows(results: Results, task: str) -> pd.DataFrame:
    """Like ``main_rows``, but of all token sets."""
    rows = all_rows(results, "auc")
    rows = rows[(rows["task"] == task) & (rows["model"] == task_models(results)[task])]
    return rows.loc[rows["measure"].isin(TASK_MEASURES[task])]


def all_rows(results: Results, table: str) -> pd.DataFrame:
    """One table of all splits, stacked, with a column ``split``."""
    tables = {split: getattr(found, table) for split, found in results.items()}
    rows: pd.DataFrame = pd.concat([rows.assign(split=split) for split, rows in tables.items()])
    return rows.rename(columns={"train_split": "trained_on"})


def models_in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows from the smallest model to the largest, otherwise in their order."""
    return rows.sort_values("model", key=lambda model: model.map(MODELS.index), kind="stable")


def a_column_a_split(
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
