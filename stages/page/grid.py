"""Tables as the paper prints them: measures or views down, models, tasks or splits across.

``print_tables`` gives those of the catalogue, ``make_grid`` any other.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Any, Final

import pandas as pd

from pipeline.scoring.measures import HEAD_MEASURES
from stages.page.labels import TASK_LABELS, caption, measure_label, model_label
from stages.tables import report_table
from stages.tables.paper import PAPER

WORDS: Final[Mapping[str, Callable[[str], str]]] = {
    "measure": measure_label,
    "model": model_label,
    "proposal": lambda proposal: proposal.replace("_", " "),
    "task": lambda task: TASK_LABELS.get(task, task),
}
"""How names in these columns are worded; those in others stand as they are."""

TRAINED_ON: Final = "trained_on"
"""Column of the heads' train split, which a grid shows with the measure."""

PARTS: Final = {"value": "", "low": "_low", "high": "_high", "paper": PAPER}
"""Ends of the names of the columns that make a ``Cell``."""

DIFFERENCE: Final = "_difference"
"""End of the names of columns that hold the difference to the first row's numbers."""

MAX_COLUMNS: Final = 5
"""Columns of numbers that fit on half the width of the page."""


@dataclass(frozen=True)
class Cell:
    """A number, the ends of its interval, and the paper's number; NaN where there is none."""

    value: float = nan
    low: float = nan
    high: float = nan
    paper: float = nan


@dataclass(frozen=True)
class Row:
    """A line of a grid."""

    names: tuple[str, ...]
    """Names in words."""
    measure: str
    """The measure that the row is about, for its colour; empty if there is none."""
    is_faint: bool
    """Whether its heads are not those of the first train split."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table of numbers, ready to print."""

    corner: tuple[str, ...]
    """Headings of the names of the rows."""
    splits: Mapping[str, int]
    """Headings above the columns' own, and how many columns each spans; may be empty."""
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def best(self) -> tuple[float, ...]:
        """The highest number of each column; NaN if it has none."""
        columns = zip(*(row.cells for row in self.rows), strict=True)
        return tuple(
            max((cell.value for cell in cells if not isnan(cell.value)), default=nan)
            for cells in columns
        )


Printed = dict[str, Any]
"""What the page shows of a table of the catalogue."""


def print_tables(
    rows: Iterable[report_table.ReportTable],
    tables: Mapping[str, pd.DataFrame],
    results: report_table.Results,
    *,
    protocol: str = "",
    task: str | None = None,
) -> list[Printed]:
    """Tables as the page prints them, apart from those that have their own form.

    Parameters
    ----------
    tables
        As ``report_tables`` gives them.
    results
        Results of the protocol.
    protocol
        Protocol whose tables to print; if empty, those that belong to all.
    task
        Task whose tables to print, likewise.
    """
    return [
        _printed_table(row, protocol, one, tables[row.file(one, protocol)], results)
        for row in rows
        if row.is_grid and protocol in row.protocols
        for one in row.each(results)
        if row.file(one, protocol) in tables and (task is None or one == task)
    ]


def _printed_table(
    row: report_table.ReportTable,
    protocol: str,
    one: str,
    table: pd.DataFrame,
    results: report_table.Results,
) -> Printed:
    splits = [one] if one in results else list(results)
    heads = report_table.first_train_split(next(iter(results.values())))
    number = row.paper_table_of(one)
    is_papers = number and protocol in {"", report_table.PAPER_PROTOCOL}
    source = f" (the paper's Table {number})" if is_papers else ""
    captions = {
        caption(row.caption, protocol, one) + source: "",
        caption("Difference in percentage points", protocol): DIFFERENCE,
    }
    grids = {
        text: make_grid(table, splits, across=row.across, suffix=suffix, first_heads=heads)
        for text, suffix in captions.items()
        if splits[0] + suffix in table
    }
    return {
        "heading": row.heading,
        "one": TASK_LABELS.get(one, one),
        "note": row.note,
        "grids": grids,
        "is_wide": sum(len(grid.columns) for grid in grids.values()) > MAX_COLUMNS,
        "n_digits": row.n_digits,
        "marks": row.marks,
    }


def make_grid(
    table: pd.DataFrame,
    splits: Sequence[str],
    *,
    across: str = "",
    suffix: str = "",
    first_heads: str = "",
) -> Grid:
    """Lay out a table of columns of names, then columns of numbers for each split.

    Parameters
    ----------
    splits
        Beginnings of the names of the columns of numbers.
    across
        Column whose names become headings, again under each split. If no other column has names,
        the splits become rows. Without ``across``, each split is a column.
    suffix
        What stands between the split and ``PARTS`` in the columns to print.
    first_heads
        Train split whose heads need not be named with the measure.
    """
    named = _without_implied(_with_heads(table, first_heads))
    names = list(named.columns[: list(named.columns).index(splits[0])])
    down, over = _axes(names, across)
    cells = {
        (tuple(record[name] for name in down), tuple(record[name] for name in over)): Cell(
            *(record[part] for part in PARTS)
        )
        for record in _records(named, names, splits, suffix)
    }
    keys, places = (list(dict.fromkeys(parts)) for parts in zip(*cells, strict=True))
    if down == ["measure"]:
        keys.sort(key=lambda key: key[0].partition("@")[0] in HEAD_MEASURES)
    groups = Counter(split for split, *column in places if column)
    return Grid(
        corner=tuple(down),
        splits=groups if len(groups) > 1 else {},
        columns=tuple(_word(over[-1], place[-1]) for place in places),
        rows=tuple(
            _row(down, key, tuple(cells.get((key, place), Cell()) for place in places))
            for key in keys
        ),
    )


def _axes(names: list[str], across: str) -> tuple[list[str], list[str]]:
    """Columns of names that stand down, and those that stand across."""
    down = [name for name in names if name != across] or ["split"]
    return down, ["split", across] if down != ["split"] and across else [across or "split"]


def _with_heads(table: pd.DataFrame, first: str) -> pd.DataFrame:
    if TRAINED_ON not in table:
        return table
    names = report_table.measure_names(table, first)
    return table.assign(measure=names).drop(columns=TRAINED_ON)


def _without_implied(table: pd.DataFrame) -> pd.DataFrame:
    """Without models that follow from the task."""
    if not {"task", "model"} <= set(table) or (table.groupby("task")["model"].nunique() > 1).any():
        return table
    return table.drop(columns="model")


def _records(
    table: pd.DataFrame, names: list[str], splits: Sequence[str], suffix: str
) -> Iterator[dict[str, Any]]:
    """A record per row and split: the names, ``split`` and ``PARTS``."""
    for split in splits:
        parts = {part: split + suffix + end for part, end in PARTS.items()}
        for row in table.to_dict("records"):
            yield {
                **{name: row[name] for name in names},
                "split": split,
                **{part: row.get(column, nan) for part, column in parts.items()},
            }


def _row(down: list[str], key: tuple[str, ...], cells: tuple[Cell, ...]) -> Row:
    named = dict(zip(down, key, strict=True))
    measure, _, heads = named.get("measure", "").partition("@")
    return Row(tuple(map(_word, down, key)), measure, bool(heads), cells)


def _word(column: str, name: str) -> str:
    return WORDS[column](name) if column in WORDS else name
