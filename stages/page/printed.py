"""The tables of the catalogue as the page prints them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

from stages.page.grid import Grid, make_grid
from stages.page.labels import TASK_LABELS, caption
from stages.tables.report_table import PAPER_PROTOCOL, ReportTable
from stages.tables.rows import Results, first_train_split

DIFFERENCE: Final = "_difference"
"""End of the names of columns that hold the difference to the first row's numbers."""

MAX_COLUMNS: Final = 5
"""Columns of numbers that fit on half the width of the page."""


@dataclass(frozen=True)
class PrintedTable:
    """A table of the catalogue."""

    heading: str
    one: str
    """Its task or split, in words; empty for a table of all."""
    note: str
    grids: Mapping[str, Grid]
    """By caption: its numbers and, if it has any, its differences."""
    n_digits: int
    marks: str

    @property
    def is_wide(self) -> bool:
        """Whether it takes the whole width of the page."""
        n_columns = sum(len(grid.columns) for grid in self.grids.values())
        return n_columns > MAX_COLUMNS


def print_tables(
    rows: Iterable[ReportTable],
    tables: Mapping[str, pd.DataFrame],
    results: Results,
    *,
    protocol: str = "",
    task: str | None = None,
) -> list[PrintedTable]:
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
        _print(row, protocol, one, tables[row.file(one, protocol)], results)
        for row in rows
        if row.is_grid and protocol in row.protocols
        for one in row.each(results)
        if row.file(one, protocol) in tables and (task is None or one == task)
    ]


def _print(
    row: ReportTable, protocol: str, one: str, table: pd.DataFrame, results: Results
) -> PrintedTable:
    splits = [one] if one in results else list(results)
    heads = first_train_split(next(iter(results.values())))
    number = row.paper_table_of(one)
    is_papers = number and protocol in {"", PAPER_PROTOCOL}
    source = f" (the paper's Table {number})" if is_papers else ""
    captions = {
        caption(row.caption, protocol, one) + source: "",
        caption("Difference in percentage points", protocol): DIFFERENCE,
    }
    return PrintedTable(
        row.heading,
        TASK_LABELS.get(one, one),
        row.note,
        {
            text: make_grid(table, splits, across=row.across, suffix=suffix, first_heads=heads)
            for text, suffix in captions.items()
            if splits[0] + suffix in table
        },
        row.n_digits,
        row.marks,
    )
