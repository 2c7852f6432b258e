"""The declaration of a table of the report, and the inputs that all tables are made from."""

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
"""Results by eval split, of at least one split."""

METHOD_TOKENS: Final = ("", *JUDGED)
"""Token sets of measures that are no ablation: no tokens, or both tokens of the judged proposal."""

WITH_BOUNDS: Final = ("", "_low", "_high")
"""Endings of the names of three columns: a number, its lower bound and its upper bound."""


def of_protocol(results: Results, protocol: str) -> Results:
    """Select the rows of a protocol from every table of each split, and mean IoUs of its masks.

    The mean IoUs are scores that belong to no protocol. The record of the run stays as it is.
    """
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
    """Model whose measures the tables of a task show, by evaluated task, in the order of tasks."""
    evaluated = set(next(iter(results.values())).scores["task"])
    return {
        task: default_model(task, evaluated_models(results)) for task in TASKS if task in evaluated
    }


def evaluated_models(results: Results) -> list[str]:
    """Names of the evaluated models, from small to large."""
    return list(next(iter(results.values())).run["models"])


def measure_name(measure: str, train_split: str, first: str) -> str:
    """Name of a measure: ``<measure>``, or ``<measure>@<train split>`` with heads of other splits.

    ``train_split`` is that of the measure's heads, empty without heads; ``first`` is the first
    train split, which the name omits.
    """
    return measure if train_split in {"", first} else f"{measure}@{train_split}"


def measure_names(rows: pd.DataFrame, first: str) -> list[str]:
    """The ``measure_name`` of each row, from its columns ``measure`` and ``trained_on``."""
    pairs = zip(rows["measure"], rows["trained_on"], strict=True)
    return [measure_name(measure, train_split, first) for measure, train_split in pairs]


def first_train_split(results: SplitResults) -> str:
    """Name of the first train split whose heads were evaluated; empty without heads."""
    return next(iter(results.run["heads"]), "")


DIFFERENCE: Final = "_difference"
"""Part of the names of columns with a difference: it follows the split, before the bounds."""


PERCENT_FORMAT: Final = "%.2f"

PAPER_PROTOCOL: Final = "best"
"""Protocol of the paper's numbers, the only protocol beside which they are shown."""

SECTIONS: Final = {
    "overview": "Relative AUC",
    "curves": "Correction curves",
    "radar": "All corrections at once",
    "selective": "Selective prediction",
    "calibration": "Calibration",
    "sets": "Mask sets",
    "tokens": "Heads without one of the tokens",
    "iou": "Mean IoU",
    "people": "What people see",
    "gallery": "Gallery",
    "correlation": "Pearson correlation",
    "trials": "Search for hyperparameters",
    "runtime": "Runtime",
}
"""Sections of the page, in its order -> their headings."""


@dataclass(frozen=True)
class Inputs:
    """Results, galleries, trials and runtimes, from which all tables of the report are made.

    ``data_sets`` says which splits are data sets of the paper.
    """

    results: Results
    galleries: Mapping[str, pd.DataFrame]
    """Table of the pictures in the gallery, by eval split."""
    trials: pd.DataFrame
    """Trials of hyperparameters, as ``read_all_trials`` returns them."""
    timed: pd.DataFrame
    """Runtimes of the methods in seconds, as in ``runtime.csv``."""
    data_sets: DataSets

    def of_protocol(self, protocol: str) -> "Inputs":
        """Keep the rows of a protocol, and all inputs that belong to no protocol.

        Only ``PAPER_PROTOCOL`` keeps ``data_sets``: other tables show no numbers of the paper.
        """
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
    """A table of the report: how its CSV is made, and where and how the page shows it.

    The report leaves out tables without a row.
    """

    name: str
    """Name of the CSV, without the number of the paper's table before it.

    A name with ``{task}`` or ``{split}`` stands for a table per task or split.
    """
    make: Callable[[Inputs, str], pd.DataFrame]
    """Makes the table of a task or split; its second argument is empty for a table of all."""
    heading: str
    section: str
    """Section of the page that shows the table, a key of ``SECTIONS``."""
    caption: str = ""
    """Name and unit of the numbers; without a caption, the page does not print a grid."""
    note: str = ""
    of_objects: tuple[str, ...] = ()
    """Columns of ``objects.csv`` that the table needs besides ``protocol``; no others are read.

    The file grows with the number of objects.
    """
    paper_table: int | None = None
    """Number of the same table in the paper; of the first task's, if there is a table per task."""
    paper: PaperTable | None = None
    """Name of the paper's numbers to put beside ours; None for none, or if ``make`` adds them."""
    number_format: str = PERCENT_FORMAT
    n_digits: int = 1
    """Number of decimals on the page."""
    is_by_protocol: bool = True
    """Whether each protocol has a table of its own, in the protocol's folder."""
    across: str = ""
    """Column whose values become columns of the page's grid, beside the splits; empty for none."""
    marks: Literal["", "best", "above 0"] = ""
    """Numbers that the page marks: the best of a column, or those with an interval above 0."""
    is_of_predicted_iou: bool = False
    """Whether the page names measures by the IoU that they predict: SamScore, not 1 − SamScore."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """Protocols that have a table of this name; ``("",)`` for one table of all protocols."""
        return PROTOCOLS if self.is_by_protocol else ("",)

    def file(self, subject: str = "", protocol: str = "") -> str:
        """Path of the CSV without its ending, such as ``best/table1_model``.

        ``subject`` is the task or split, and ``protocol`` the protocol, of the table; each is empty
        for a table of all.
        """
        name = self.name.format(task=subject, split=subject)
        number = self.paper_table_of(subject)
        name = name if number is None else f"table{number}_{name}"
        return f"{protocol}/{name}" if protocol else name

    def paper_table_of(self, task: str = "") -> int | None:
        """Number of the table in the paper, of ``task`` if there is a table per task.

        None if the paper has no such table.
        """
        if self.paper_table is None:
            return None
        return self.paper_table + (TASKS.index(task) if "{task}" in self.name else 0)

    def each(self, results: Results) -> list[str]:
        """Names of the tasks or splits that have a table; ``[""]`` for one table of all."""
        if "{task}" in self.name:
            return list(task_models(results))
        return list(results) if "{split}" in self.name else [""]
