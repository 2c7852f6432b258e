"""The paper's own numbers, to stand beside ours if a split is one of the paper's data sets."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from stages.settings.blocks import PaperDataSet

DataSets = Mapping[str, PaperDataSet]
"""Eval or train split -> which of the paper's data sets it is."""

FOLDER: Final = Path(__file__).parent / "paper_numbers"

CORRELATED: Final = "COCO"
"""The data set of the paper's Tables 5 and 15 to 17."""

FAMILY: Final = "sam2"
"""Family of the models behind all of the paper's numbers."""

TIMED: Final = ("sam2", "sam2.1")
"""Families of the networks that the paper's Table 7 times."""

PAPER: Final = "_paper"
"""End of the names of columns that hold the paper's numbers for the column before."""

PaperTable = Literal[
    "relative", "auc", "ablation", "best_model", "view", "correlation", "trials", "runtime"
]


VALUES: Final = {"percent": "", "difference": "_difference"}
"""Columns of the paper's numbers, and what follows the split in the names of ours."""


def paper_numbers(name: PaperTable, task: str = "") -> pd.DataFrame:
    """Numbers of the paper, as printed there: percent, correlations, trials or seconds.

    Parameters
    ----------
    task
        The one whose numbers to give; if empty, those of all, with a column ``task``.

    Notes
    -----
    ``relative``: Tables 1 to 4. ``auc``: Tables 11 to 14. ``ablation``: Table 6, which does not say
    which gaps it shows; Δ_Θ, Δ_Xp and Δ_A are nearest. ``best_model``: Table 9. ``view``:
    Table 10, the mIoU of each view and its difference to identity. ``correlation``: Tables 5 and
    15 to 17. ``trials``: Table 8. ``runtime``: Table 7, on an RTX 3050 Ti.

    ``trained_on`` is the data set of the heads: in Tables 1 to 4 and 14 that of the row, but COCO
    for MOSE (the paper says SA-V; its cells in Tables 1 to 3 follow from the rows of COCO in
    Tables 11 to 13). ``jpeg`` of Table 10 stands for quality 10, ``flip`` for the vertical one.
    """
    text = ["trained_on"] if name in {"relative", "auc", "ablation"} else []
    table = pd.read_csv(FOLDER / f"{name}.csv", dtype=dict.fromkeys(text, "str"))
    table = table.fillna(dict.fromkeys(text, ""))
    return table[table["task"] == task].drop(columns="task") if task else table


def beside_paper(table: pd.DataFrame, numbers: pd.DataFrame, data_sets: DataSets) -> pd.DataFrame:
    """Put the paper's numbers behind the columns of the splits that are its data sets.

    Parameters
    ----------
    table
        Columns of each split, and those of names by which rows are found.
    numbers
        ``VALUES`` by names, heads (``trained_on``) and, unless they hold for all, ``data_set``.
    """
    keys = [name for name in numbers.columns if name in table.columns]
    names = table[keys]
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
    """Put the paper's seconds and their ratio behind those of Meta's models: Table 7.

    Parameters
    ----------
    timed
        As in ``runtime.csv``. Models outside ``TIMED`` get none: the ratio depends on the image
        encoder's share of the work.
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
    """Put the paper's correlations behind those of a split, ``<name>_paper`` behind all.

    Parameters
    ----------
    table
        As ``correlation_table`` gives it.
    data_set
        Data set of the split; the paper has correlations for ``CORRELATED`` alone.
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
    """Data sets of heads in the paper's words; missing if the paper has no such heads."""
    return train_splits.map({"": "", **data_sets})
