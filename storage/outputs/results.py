"""Reads and writes the results of stages: tables of a split, gallery, runtime, trials of tuning."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pipeline.heads.kinds import PAPER
from pipeline.vocabulary import objectives_of
from storage.errors import DataError
from storage.folders import whole_folder
from storage.outputs import records
from storage.outputs.csv_forms import GALLERY, RANKING, RUNTIME, SPLIT_TABLES, TRIALS
from storage.outputs.tables import Frames, read_blocks, read_table, write_table
from storage.paths import remedy, trials_path, tuning_path

RUN_KEYS: Final = (
    "split",
    "n_objects",
    "n_groups",
    "n_resamples",
    "models",
    "entropy",
    "heads",
)
"""Keys of ``run.json``; ``models`` and ``entropy`` hold the signatures of features and entropies,
``heads`` the metadata of each train split's heads."""

_FILES: Final = {**SPLIT_TABLES, "ranking": RANKING}
"""All CSV files of a split's results, by file name without ``.csv``."""

RUN: Final = "run.json"
"""File name of the record of a split's results."""

PICTURES: Final = "gallery.csv"
"""File name of the table of a gallery's pictures."""

FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""First characters of a table cell before which an apostrophe is written: spreadsheets would run
the cell as a formula. The apostrophe itself is escaped, too."""

PICTURES_RECORD: Final = "gallery.json"
"""File name of the record of a gallery's table and pictures."""


@dataclass(frozen=True)
class SplitResults:
    """Results of the stage ``evaluate`` for one split: the tables of ``SPLIT_TABLES``."""

    scores: pd.DataFrame
    curves: pd.DataFrame
    correlation: pd.DataFrame
    reliability: pd.DataFrame
    objects: pd.DataFrame
    annotations: pd.DataFrame
    run: Mapping[str, Any]
    """Settings and inputs of the run, with the keys ``RUN_KEYS``."""


def write_results(folder: Path, tables: Mapping[str, Frames], run: Mapping[str, Any]) -> None:
    """Write the results of a split to a folder, which is replaced; equal results give equal bytes.

    ``tables`` has the rows, or blocks of rows, of each table in ``SPLIT_TABLES`` and of
    ``ranking``, by name; ``run`` has the settings and inputs of the run, with the keys
    ``RUN_KEYS``. Raises a DataError if a table lacks a column, or ``run`` lacks a key; the folder
    then stays as it was.
    """
    records.check_holds("run", list(run), RUN_KEYS)
    with whole_folder(folder) as partial:
        for name, table in _FILES.items():
            write_table(partial / f"{name}.csv", table, tables[name])
        records.write_record(partial / RUN, run, [partial / f"{name}.csv" for name in _FILES])


def read_results(folder: Path, *, of_objects: Collection[str] | None = None) -> SplitResults:
    """Read the results of a split that ``write_results`` wrote.

    ``of_objects`` has the columns to read of the table ``objects``, which takes more memory than
    all other tables; None reads all columns. Raises a DataError if a file is missing, was truncated
    or edited, or lacks a column or key (written by another version).
    """
    run = read_run(folder)
    files = run.pop(records.FILES)
    tables = {}
    for name, table in _FILES.items():
        file = folder / f"{name}.csv"
        records.check_recorded(file, folder / RUN, files)
        if name in SPLIT_TABLES:
            tables[name] = read_table(file, table, of_objects if name == "objects" else None)
    return SplitResults(**tables, run=run)


def read_ranking(folder: Path) -> Iterator[pd.DataFrame]:
    """Read the table ``ranking`` of a split, in blocks; the gallery chooses objects from it.

    ``folder`` has the results of the split. Errors are those of ``read_results``: of the file at
    the call, of columns when the first block is read.
    """
    return read_blocks(_recorded(folder, "ranking"), RANKING)


def read_annotations(folder: Path) -> pd.DataFrame:
    """Read the table ``annotations`` of a split: the annotations to check, most doubted first."""
    return read_table(_recorded(folder, "annotations"), SPLIT_TABLES["annotations"])


def _recorded(folder: Path, name: str) -> Path:
    """Path of a table of a split's results, checked against the record of the run."""
    path = folder / f"{name}.csv"
    records.check_recorded(path, folder / RUN, read_run(folder)[records.FILES])
    return path


def read_run(folder: Path) -> dict[str, Any]:
    """Read the record ``run.json`` in a folder of results, which has the keys ``RUN_KEYS``.

    Its entry ``files`` is the sha256 of each table, by file name.
    """
    return records.read_record(folder / RUN, "evaluate", RUN_KEYS)


@dataclass(frozen=True)
class Gallery:
    """Pictures of a split's objects in memory, and a table with a row for each picture."""

    table: pd.DataFrame
    """One row per picture, with the columns of ``GALLERY``."""
    pictures: Mapping[str, bytes]
    """Bytes of each picture as WebP, by file name."""

    def of_protocol(self, protocol: str) -> "Gallery":
        """The gallery with only the table's rows of one protocol; all pictures stay."""
        return Gallery(self.table[self.table["protocol"] == protocol], self.pictures)


def write_gallery(folder: Path, gallery: Gallery) -> None:
    """Write a gallery to a folder, which is replaced: a CSV file, WebP files and a record."""
    with whole_folder(folder) as partial:
        files = gallery.table["file"]
        # A data set chooses these names, and a spreadsheet would run them as formulas.
        quoted = files.where(~files.str.startswith(FORMULAS), "'" + files)
        write_table(partial / PICTURES, GALLERY, gallery.table.assign(file=quoted))
        for name, picture in gallery.pictures.items():
            (partial / name).write_bytes(picture)
        names = [PICTURES, *gallery.pictures]
        records.write_record(partial / PICTURES_RECORD, {}, [partial / name for name in names])


def read_gallery(folder: Path) -> Gallery:
    """Read a gallery; a DataError if the table or a picture is missing or was changed."""
    record = folder / PICTURES_RECORD
    files = records.read_record(record, "gallery")[records.FILES]
    for name in (PICTURES, *files):
        records.check_recorded(folder / name, record, files)
    quoted = read_table(folder / PICTURES, GALLERY)
    table = quoted.assign(file=quoted["file"].str.removeprefix("'"))
    return Gallery(table, {name: (folder / name).read_bytes() for name in table["picture"]})


def write_runtime(path: Path, seconds: pd.DataFrame) -> None:
    """Write the table of the stage ``runtime``, and beside it a record (JSON) with its sha256."""
    write_table(path, RUNTIME, seconds)
    records.write_record(path.with_suffix(".json"), {}, [path])


def read_runtime(path: Path, models: Iterable[str]) -> pd.DataFrame:
    """Read the table of the stage ``runtime``, which must have every method for every model.

    Raises a DataError if the table is missing, was changed, or lacks a column or a method of one of
    ``models``.
    """
    record = path.with_suffix(".json")
    records.check_recorded(path, record, records.read_record(record, "runtime")[records.FILES])
    table = read_table(path, RUNTIME)
    methods = set(table["method"])
    for model in sorted(models):
        timed = set(table.loc[table["model"] == model, "method"])
        if not timed or timed != methods:
            raise DataError(
                f"{path} must have every method of {model}, got "
                f"{', '.join(sorted(timed)) or 'none'}{remedy(path, 'dvc repro -f -s')}"
            )
    return table


def read_all_trials(train_splits: Iterable[str], models: Sequence[str]) -> pd.DataFrame:
    """Read the tuning trials of every head in one table, for each head the best trial first.

    Columns ``trained_on`` (train split) and ``objective`` come before the columns of ``TRIALS``. A
    head that took the default hyperparameters has no rows. ``models`` are all models of the family,
    from small to large. Raises a DataError if a table is missing (``tune`` has not run is the usual
    cause), or not as it was written.
    """
    tables = []
    for split, objective in product(train_splits, objectives_of(models)):
        path, choice = (of(split, PAPER, objective) for of in (trials_path, tuning_path))
        records.check_recorded(path, choice, records.read_record(choice, "tune")[records.FILES])
        trials = read_table(path, TRIALS)
        tables.append(trials.assign(trained_on=split, objective=objective))
    columns = ["trained_on", "objective", *TRIALS.columns]
    tables = [trials for trials in tables if len(trials)]
    return (
        pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    )
