"""What each table of the report declares."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import pandas as pd

from pipeline.vocabulary import PROTOCOLS, TASKS
from stages.tables.paper import DataSets, PaperNumbers
from stages.tables.rows import Results, of_protocol, task_models

PERCENT_FORMAT: Final = "%.2f"

PAPER_PROTOCOL: Final = "best"
"""The protocol of the paper's numbers."""

Section = Literal[
    "overview",
    "curves",
    "radar",
    "selective",
    "calibration",
    "promises",
    "routing",
    "tokens",
    "iou",
    "gallery",
    "correlation",
    "trials",
    "runtime",
]
"""Sections of the page, in its order."""


@dataclass(frozen=True)
class Inputs:
    """All that a table may be made from."""

    results: Results
    galleries: Mapping[str, pd.DataFrame]
    """Galleries by split."""
    trials: pd.DataFrame
    """As ``read_all_trials`` gives them."""
    timed: pd.DataFrame
    """As in ``runtime.csv``."""
    data_sets: DataSets

    def of_protocol(self, protocol: str) -> "Inputs":
        """The inputs that concern one protocol, and those that concern all."""
        galleries = {
            split: table[table["protocol"] == protocol] for split, table in self.galleries.items()
        }
        return replace(
            self,
            results=of_protocol(self.results, protocol),
            galleries=galleries,
            data_sets=self.data_sets if protocol == PAPER_PROTOCOL else {},
        )


@dataclass(frozen=True)
class ReportTable:
    """A table of the report: a CSV, and where and how the page shows it.

    A table without a row is left out.
    """

    name: str
    """Name of the CSV, after the number of the paper's table. With ``{task}`` or ``{split}`` in it,
    there is one table for each."""
    make: Callable[[Inputs, str], pd.DataFrame]
    """Makes the table, given the task or the split; an empty one for a table of all."""
    heading: str
    """What it shows."""
    section: Section
    caption: str = ""
    """What its numbers are, and their unit."""
    note: str = ""
    """How to read it."""
    of_objects: tuple[str, ...] = ()
    """Columns that it reads of the table of objects, beside ``protocol``; others are not in memory,
    for that table grows with the objects."""
    paper_table: int | None = None
    """Number of the paper's table; with ``{task}``, that of the first task's."""
    paper: PaperNumbers | None = None
    """The paper's numbers beside it, unless ``make`` puts them there."""
    number_format: str = PERCENT_FORMAT
    n_digits: int = 1
    """Digits behind the point, on the page."""
    is_by_protocol: bool = True
    """Whether there is one for each protocol, in a folder of its own."""
    across: str = ""
    """Column whose values stand side by side on the page; without one, only the splits do."""
    marks: Literal["", "best", "above 0"] = ""
    """What the page marks: the best of each column, or numbers whose interval lies above 0."""
    is_grid: bool = True
    """Whether the page prints it like most tables; otherwise it has its own form there."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """Protocols that have the table; a single empty name for a table of all."""
        return PROTOCOLS if self.is_by_protocol else ("",)

    def file(self, one: str = "", protocol: str = "") -> str:
        """Path of the CSV for a task, a split or all, without its ending."""
        name = self.name.format(task=one, split=one)
        number = self.paper_table_of(one)
        name = name if number is None else f"table{number}_{name}"
        return f"{protocol}/{name}" if protocol else name

    def paper_table_of(self, one: str = "") -> int | None:
        """Number of the paper's table of a task, or of all."""
        if self.paper_table is None:
            return None
        return self.paper_table + (TASKS.index(one) if "{task}" in self.name else 0)

    def each(self, results: Results) -> list[str]:
        """Tasks or splits that have the table; a single empty name for a table of all."""
        if "{task}" in self.name:
            return list(task_models(results))
        return list(results) if "{split}" in self.name else [""]
