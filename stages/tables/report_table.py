"""The declaration of a report table, and what all tables are made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import pandas as pd

from pipeline.scoring.tasks import REFINED, default_model
from pipeline.vocabulary import JUDGED, PROTOCOLS, TASKS
from stages.tables.paper import DataSets, PaperTable
from storage.outputs.csv_forms import SPLIT_TABLES
from storage.outputs.results import SplitResults

Results = Mapping[str, SplitResults]
"""Results by eval split, at least one; tables of a protocol are made from its rows alone."""

METHOD_TOKENS: Final = ("", *JUDGED)
"""Token sets of the method's own measures: none, or those of the judged proposal."""

WITH_BOUNDS: Final = ("", "_low", "_high")
"""Ends of the names of columns: of a number, and of the bounds that stand behind it."""


def of_protocol(results: Results, protocol: str) -> Results:
    """Rows of one protocol from every table; among mean IoUs, those of its masks."""
    return {
        split: _of_protocol(split_results, protocol) for split, split_results in results.items()
    }


def _of_protocol(results: SplitResults, protocol: str) -> SplitResults:
    tables = {name: getattr(results, name) for name in SPLIT_TABLES}
    is_of = {name: table["protocol"] == protocol for name, table in tables.items()}
    is_of["scores"] |= results.scores["proposal"].isin([protocol, REFINED[protocol]])
    return replace(
        results,
        **{name: table[is_of[name]].reset_index(drop=True) for name, table in tables.items()},
    )


def task_models(results: Results) -> dict[str, str]:
    """The model whose measures each task shows, for tasks that were evaluated."""
    evaluated = set(next(iter(results.values())).scores["task"])
    return {task: default_model(task, models_of(results)) for task in TASKS if task in evaluated}


def models_of(results: Results) -> list[str]:
    """Models that were evaluated, from small to large."""
    return list(next(iter(results.values())).run["models"])


def measure_name(measure: str, train_split: str, first: str) -> str:
    """Name of a measure, with the train split of its heads unless that is the first."""
    return measure if train_split in {"", first} else f"{measure}@{train_split}"


def measure_names(rows: pd.DataFrame, first: str) -> list[str]:
    """The same of the columns ``measure`` and ``trained_on``."""
    pairs = zip(rows["measure"], rows["trained_on"], strict=True)
    return [measure_name(measure, train_split, first) for measure, train_split in pairs]


def first_train_split(results: SplitResults) -> str:
    """The first train split of the params; empty without heads."""
    return next(iter(results.run["heads"]), "")


DIFFERENCE: Final = "_difference"
"""End of the names of columns that hold the difference to other numbers, and of its bounds."""


PERCENT_FORMAT: Final = "%.2f"

PAPER_PROTOCOL: Final = "best"
"""The protocol of the paper's numbers."""

SECTIONS: Final = {
    "overview": "Relative AUC",
    "curves": "Correction curves",
    "radar": "All corrections at once",
    "selective": "Selective prediction",
    "calibration": "Calibration",
    "promises": "Promises",
    "routing": "Routing",
    "decisions": "Decisions",
    "tokens": "Heads without one of the tokens",
    "iou": "Mean IoU",
    "gallery": "Gallery",
    "correlation": "Pearson correlation",
    "trials": "Search for hyperparameters",
    "runtime": "Runtime",
}
"""Sections of the page in its order, and their headings."""


@dataclass(frozen=True)
class Inputs:
    """Inputs that a table may use."""

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
    section: str
    """One of ``SECTIONS``."""
    caption: str = ""
    """What its numbers are, and their unit; without one, the page does not print it as a grid."""
    note: str = ""
    """How to read it."""
    of_objects: tuple[str, ...] = ()
    """Columns that it reads of the table of objects, beside ``protocol``; others are not in memory,
    for that table grows with the objects."""
    paper_table: int | None = None
    """Number of the paper's table; with ``{task}``, that of the first task's."""
    paper: PaperTable | None = None
    """The paper's numbers beside it, of one task or of all, unless ``make`` puts them there."""
    number_format: str = PERCENT_FORMAT
    n_digits: int = 1
    """Digits behind the point, on the page."""
    is_by_protocol: bool = True
    """Whether there is one for each protocol, in a folder of its own."""
    across: str = ""
    """Column whose values stand side by side on the page; without one, only the splits do."""
    marks: Literal["", "best", "above 0"] = ""
    """What the page marks: the best of each column, or numbers whose interval lies above 0."""
    is_of_predicted_iou: bool = False
    """Whether its measures stand as the IoU that they predict: SamScore, not 1 − SamScore."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """Protocols that have the table; a single empty name for a table of all."""
        return PROTOCOLS if self.is_by_protocol else ("",)

    def file(self, subject: str = "", protocol: str = "") -> str:
        """Path of the CSV for a task, a split or all, without its ending."""
        name = self.name.format(task=subject, split=subject)
        number = self.paper_table_of(subject)
        name = name if number is None else f"table{number}_{name}"
        return f"{protocol}/{name}" if protocol else name

    def paper_table_of(self, task: str = "") -> int | None:
        """Number of the paper's table of a task, or of all."""
        if self.paper_table is None:
            return None
        return self.paper_table + (TASKS.index(task) if "{task}" in self.name else 0)

    def each(self, results: Results) -> list[str]:
        """Tasks or splits that have the table; a single empty name for a table of all."""
        if "{task}" in self.name:
            return list(task_models(results))
        return list(results) if "{split}" in self.name else [""]
