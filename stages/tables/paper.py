"""The paper's own numbers, put beside ours where a split is a data set of the paper."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from stages.settings.blocks import PaperDataSet

DataSets = Mapping[str, PaperDataSet]
"""Eval or train split -> the data set of the paper that the split is."""

FOLDER: Final = Path(__file__).parent / "paper_numbers"

CORRELATED: Final = "COCO"
"""Data set of the paper's correlations, Tables 5 and 15 to 17."""

FAMILY: Final = "sam2"
"""Family of the models behind all of the paper's numbers."""

TIMED: Final = ("sam2", "sam2.1")
"""Families of the networks that the paper's Table 7 times."""

PAPER: Final = "_paper"
"""Ending of the name of a column with the paper's numbers for the column before it."""

OF_THE_PAPER: Final = {"delta_a_star_known": "delta_a_star"}
"""Our measures of other names -> the measure whose numbers the paper has.

The authors' heads read the tokens of the best mask.
"""

PaperTable = Literal[
    "relative", "auc", "ablation", "best_model", "view", "correlation", "trials", "runtime"
]


VALUES: Final = {"percent": "", "difference": "_difference"}
"""Columns of the paper's numbers -> suffix after the split in the names of our columns."""


def paper_numbers(name: PaperTable, task: str = "") -> pd.DataFrame:
    """Read numbers of the paper, as it prints them: percent, correlations, trials or seconds.

    Only rows of ``task`` are returned, without this column; if ``task`` is empty, all rows. Only
    ``relative``, ``auc`` and ``ablation`` have tasks.

    Notes
    -----
    ``relative``: Tables 1 to 4. ``auc``: Tables 11 to 14. ``ablation``: Table 6, which does not say
    which gaps it shows; its numbers are nearest to Δ_Θ, Δ_Xp and Δ_A. ``best_model``: Table 9.
    ``view``: Table 10, the mIoU of each view and its difference to identity. ``correlation``:
    Tables 5 and 15 to 17. ``trials``: Table 8. ``runtime``: Table 7, on an RTX 3050 Ti.

    ``trained_on`` is the data set of the heads: in Tables 1 to 4 and 14 the data set of the row,
    but COCO for MOSE (the paper says SA-V; its cells in Tables 1 to 3 follow from the rows of COCO
    in Tables 11 to 13). ``jpeg`` of Table 10 stands for quality 10, ``flip`` for the vertical flip.
    """
    text = ["trained_on"] if name in {"relative", "auc", "ablation"} else []
    table = pd.read_csv(FOLDER / f"{name}.csv", dtype=dict.fromkeys(text, "str"))
    table = table.fillna(dict.fromkeys(text, ""))
    return table[table["task"] == task].drop(columns="task") if task else table


def beside_paper(table: pd.DataFrame, numbers: pd.DataFrame, data_sets: DataSets) -> pd.DataFrame:
    """Insert the paper's numbers after the columns of splits that are data sets of the paper.

    The new columns have the ending ``PAPER``, and NaN where the paper has no number.

    Parameters
    ----------
    table
        Table of the report: columns of names, which identify a row, and columns for each split.
    numbers
        Numbers of the paper: columns of names, columns of ``VALUES`` and, unless the numbers hold
        for all data sets, ``data_set``.
    """
    keys = [name for name in numbers.columns if name in table.columns]
    names = table[keys]
    if "measure" in keys:
        names = names.assign(measure=names["measure"].replace(OF_THE_PAPER))
    if "trained_on" in keys:
        names = names.assign(trained_on=_heads(table["trained_on"], data_sets))
    beside = table.copy()
    for (split, data_set), (value, suffix) in product(data_sets.items(), VALUES.items()):
        column = split + suffix
        if column not in table or value not in numbers:
            continue
        of_set = numbers[numbers["data_set"] == data_set] if "data_set" in numbers else numbers
        of_paper = names.merge(of_set[[*keys, value]], on=keys, how="left")[value]
        columns = list(beside.columns)
        last = f"{column}_high" if f"{column}_high" in columns else column
        beside.insert(columns.index(last) + 1, column + PAPER, of_paper.to_numpy())
    return beside


def runtime_beside_paper(timed: pd.DataFrame) -> pd.DataFrame:
    """Insert the seconds and ratios of the paper's Table 7 after the measured seconds and ratios.

    ``timed`` are the rows of ``runtime.csv``. A family outside of ``TIMED`` gets no numbers of the
    paper: the ratio depends on the image encoder's share of the work.
    """
    if timed["family"].iloc[0] not in TIMED:
        return timed
    keys = ["model", "method"]
    seconds = paper_numbers("runtime").set_index(keys)["seconds"]
    ratio = seconds / seconds.xs("sam", level="method")
    numbers = pd.DataFrame({"seconds_paper": seconds, "ratio_paper": ratio})
    names = list(timed)
    for value in ("seconds", "ratio"):
        names.insert(names.index(f"{value}_high") + 1, f"{value}_paper")
    return timed.merge(numbers.reset_index(), on=keys, how="left")[names]


def correlation_beside_paper(
    table: pd.DataFrame, data_set: PaperDataSet | None, data_sets: DataSets
) -> pd.DataFrame:
    """Append the paper's correlations to the table of a split, as columns ``<name>_paper``.

    The paper has correlations for one data set, ``CORRELATED``, by heads that learned from it: rows
    of other heads get NaN, and rows without heads get numbers.

    Parameters
    ----------
    data_set
        Data set of the split; for None or another than ``CORRELATED``, the table is returned as it
        is.
    data_sets
        The paper's data set of each train split that is one, by split.
    """
    if data_set != CORRELATED:
        return table
    numbers = paper_numbers("correlation").set_index(["model", "row"])
    is_same = _heads(table["train_split"], data_sets).isin(["", CORRELATED])
    index = pd.MultiIndex.from_frame(table[["model", "row"]])
    names = [name for name in table.columns if name in numbers.columns]
    of_paper = numbers[names].reindex(index).where(is_same.set_axis(index), axis=0)
    return table.join(of_paper.add_suffix(PAPER).reset_index(drop=True))


def _heads(train_splits: "pd.Series[str]", data_sets: DataSets) -> "pd.Series[str]":
    """Data set of the paper that the heads of each row learned from; empty without heads.

    NaN if the train split is not a data set of the paper.
    """
    return train_splits.map({"": "", **data_sets})
