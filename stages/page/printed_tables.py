"""Tables in the paper's layout: a row per measure or view, a column per model, task or split.

``print_tables`` lays out the tables of the catalogue, ``make_grid`` any other table.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, product
from math import isnan, nan
from typing import Any, Final

import pandas as pd

from pipeline.scoring.measures import HEAD_MEASURES, KNOWS_TRUTH
from stages.page import labels
from stages.tables import report_table
from stages.tables.catalogue import REPORT_TABLES
from stages.tables.paper import PAPER

TRAINED_ON: Final = "trained_on"
"""Column with the train split of heads; a grid shows it in brackets after the measure."""

ENDINGS: Final = (*report_table.WITH_BOUNDS, PAPER)
"""Endings of the names of the four columns whose numbers make a ``TableCell``."""

MAX_COLUMNS: Final = 5
"""Largest number of columns of numbers that fit into half the width of the page."""


@dataclass(frozen=True)
class TableCell:
    """A number, the ends of its interval, and the paper's number; NaN for a missing number."""

    value: float = nan
    low: float = nan
    high: float = nan
    paper: float = nan


@dataclass(frozen=True)
class Row:
    """A row of a printed table: the names at its beginning, and its numbers."""

    names: tuple[str, ...]
    """Labels of the row, as people read them: its measure, model or view."""
    measure: str
    """``measure_name`` of the row's measure, which sets its colour; empty without a measure."""
    cells: tuple[TableCell, ...]


@dataclass(frozen=True)
class Grid:
    """A table of numbers, ready to print: its headings, rows and columns."""

    corner: tuple[str, ...]
    """Headings of the columns that hold the names of the rows."""
    splits: Mapping[str, int]
    """Upper headings, and the number of columns below each; empty with one line of headings."""
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def best(self) -> tuple[float, ...]:
        """The highest number of each column; NaN for a column without numbers.

        Measures that know the ground truth do not count.
        """
        counts = [row.measure.partition("@")[0] not in KNOWS_TRUTH for row in self.rows]
        values = zip(*([cell.value for cell in row.cells] for row in self.rows), strict=True)
        return tuple(
            max((value for value in compress(column, counts) if not isnan(value)), default=nan)
            for column in values
        )


PrintedTable = dict[str, Any]
"""A table of the catalogue for the page's template.

It has ``row``, its declaration; ``name``, its task or split; ``grids``, a ``Grid`` by caption; and
``is_wide``, whether it needs the whole width.
"""


def print_tables(
    tables: Mapping[str, pd.DataFrame], results: report_table.Results, protocol: str = ""
) -> dict[str, list[PrintedTable]]:
    """Lay out tables of the catalogue, by section of the page.

    Parameters
    ----------
    tables
        Tables as ``report_tables`` returns them. Tables of the catalogue that are not there, and
        tables without a caption, are left out.
    results
        Results of the protocol.
    protocol
        Protocol whose tables are printed; if empty, the tables that belong to no protocol.

    Returns
    -------
    The printed tables by section, a key of ``SECTIONS``; a section may have an empty list.
    """
    printed: dict[str, list[PrintedTable]] = {section: [] for section in report_table.SECTIONS}
    for row in REPORT_TABLES:
        for name in row.each(results):
            table = tables.get(row.file(name, protocol))
            if row.caption and protocol in row.protocols and table is not None:
                printed[row.section].append(_printed_table(row, protocol, name, table, results))
    return printed


def _printed_table(
    row: report_table.ReportTable,
    protocol: str,
    name: str,
    table: pd.DataFrame,
    results: report_table.Results,
) -> PrintedTable:
    splits = [name] if name in results else list(results)
    heads = report_table.first_train_split(next(iter(results.values())))
    number = row.paper_table_of(name)
    is_papers = number and protocol in {"", report_table.PAPER_PROTOCOL}
    source = f" (the paper's Table {number})" if is_papers else ""
    captions = {
        labels.caption(row.caption, protocol, name) + source: "",
        labels.caption("Difference in percentage points", protocol): report_table.DIFFERENCE,
    }
    symbols = labels.PREDICTED_IOU_LABELS if row.is_of_predicted_iou else labels.SYMBOLS
    grids = {
        text: make_grid(
            table, splits, across=row.across, suffix=suffix, first_heads=heads, symbols=symbols
        )
        for text, suffix in captions.items()
        if splits[0] + suffix in table
    }
    return {
        "row": row,
        "name": labels.TASK_LABELS.get(name, name),
        "grids": grids,
        "is_wide": sum(len(grid.columns) for grid in grids.values()) > MAX_COLUMNS,
    }


def make_grid(
    table: pd.DataFrame,
    splits: Sequence[str],
    *,
    across: str = "",
    suffix: str = "",
    first_heads: str = "",
    symbols: Mapping[str, str] = labels.SYMBOLS,
) -> Grid:
    """Lay out a table that has columns of names, then columns of numbers for each split.

    Parameters
    ----------
    table
        Columns of names, which identify a row, then columns of numbers, named by a split,
        ``suffix``, and one of ``ENDINGS``.
    splits
        Beginnings of the names of the columns of numbers: names of splits or of tasks.
    across
        Column of names that become headings, repeated under each split. If it is the only column of
        names, the splits become rows. Without ``across``, each split is a column.
    suffix
        Part of the names of the printed columns between the split and the ending.
    first_heads
        First train split: measures of its heads are printed without the train split.
    symbols
        Symbols of measures by name.
    """
    named = _with_heads(table, first_heads)
    down, over = _axes(_names(named, splits[0]), across)
    cells = {}
    for split, row in product(splits, named.to_dict("records")):
        record = {**row, "split": split}
        key, place = (tuple(record[name] for name in axis) for axis in (down, over))
        cells[key, place] = TableCell(*(row.get(split + suffix + end, nan) for end in ENDINGS))
    keys, places = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    if down == ["measure"]:
        keys.sort(key=lambda key: key[0].partition("@")[0] in HEAD_MEASURES)
    groups = Counter(split for split, *column in places if column)
    return Grid(
        corner=tuple(down),
        splits=groups if len(groups) > 1 else {},
        columns=tuple(_word(over[-1], place[-1], symbols) for place in places),
        rows=tuple(
            _row(
                down, key, tuple(cells.get((key, place), TableCell()) for place in places), symbols
            )
            for key in keys
        ),
    )


def _axes(names: list[str], across: str) -> tuple[list[str], list[str]]:
    """Columns of names that name the rows, and columns of names that become headings."""
    down = [name for name in names if name != across] or ["split"]
    return down, ["split", across] if down != ["split"] and across else [across or "split"]


def _with_heads(table: pd.DataFrame, first: str) -> pd.DataFrame:
    if TRAINED_ON not in table:
        return table
    names = report_table.measure_names(table, first)
    return table.assign(measure=names).drop(columns=TRAINED_ON)


def _names(table: pd.DataFrame, first_split: str) -> list[str]:
    """Columns before ``first_split``, which hold names; without ``model`` if the task sets it."""
    names = list(table.columns[: list(table.columns).index(first_split)])
    if {"task", "model"} <= {*names} and table.groupby("task")["model"].nunique().max() == 1:
        names.remove("model")
    return names


def _row(
    down: list[str], key: tuple[str, ...], cells: tuple[TableCell, ...], symbols: Mapping[str, str]
) -> Row:
    named = dict(zip(down, key, strict=True))
    words = tuple(_word(column, name, symbols) for column, name in named.items())
    return Row(words, named.get("measure", ""), cells)


def _word(column: str, name: str, symbols: Mapping[str, str]) -> str:
    match column:
        case "measure":
            return labels.measure_label(name, symbols)
        case "task" | "split":
            return labels.TASK_LABELS.get(name, name)
        case "model" | "proposal":
            return labels.model_label(name)
    return name
