"""Results on disk: tables and a record of the run per eval split, pictures, seconds, trials."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pipeline.vocabulary import objectives_of
from storage.errors import DataError
from storage.folders import whole_folder
from storage.outputs import records
from storage.outputs.csv_forms import GALLERY, RANKING, RUNTIME, SPLIT_TABLES, TRIALS
from storage.outputs.tables import Frames, read_blocks, read_table, write_table
from storage.paths import trials_path, tuning_path

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
"""Tables of a split by the name of their file."""

RUN: Final = "run.json"
"""Record of a split's results."""

PICTURES: Final = "gallery.csv"
"""Table of the pictures of a gallery."""

FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""Starts of a cell that get an apostrophe: all but the last begin a formula in spreadsheets."""

PICTURES_RECORD: Final = "gallery.json"
"""Record of the table and the pictures."""


@dataclass(frozen=True)
class SplitResults:
    """Results of ``evaluate`` for one split: ``SPLIT_TABLES``."""

    scores: pd.DataFrame
    curves: pd.DataFrame
    correlation: pd.DataFrame
    coverage: pd.DataFrame
    reliability: pd.DataFrame
    objects: pd.DataFrame
    run: Mapping[str, Any]
    """``RUN_KEYS``."""


def write_results(folder: Path, tables: Mapping[str, Frames], run: Mapping[str, Any]) -> None:
    """Write a split's results, replacing those that are there; equal results give equal bytes.

    Parameters
    ----------
    tables
        ``SPLIT_TABLES`` and ``ranking``, by name.

    Raises
    ------
    DataError
        If a table or ``run`` lacks a column or key.
    """
    records.check_holds("run", list(run), RUN_KEYS)
    with whole_folder(folder) as partial:
        for name, table in _FILES.items():
            write_table(partial / f"{name}.csv", table, tables[name])
        records.write_record(partial / RUN, run, [partial / f"{name}.csv" for name in _FILES])


def read_results(folder: Path, *, of_objects: Collection[str] | None = None) -> SplitResults:
    """Read a split's results.

    Parameters
    ----------
    of_objects
        Columns of ``objects`` to read, which grows with the objects and takes more memory than all
        else; None takes all.

    Raises
    ------
    DataError
        If a file is missing or lacks a column or key (written by another version), or is not the
        one that was written: cut off, or edited.
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
    """Read the ranking of a split's objects, from which the gallery chooses, block by block.

    Raises
    ------
    DataError
        As ``read_results``.
    """
    path = folder / "ranking.csv"
    records.check_recorded(path, folder / RUN, read_run(folder)[records.FILES])
    return read_blocks(path, RANKING)


def read_run(folder: Path) -> dict[str, Any]:
    """Read the record of the run whose results are in a folder, with the digests of its tables.

    Raises
    ------
    DataError
        As ``read_record``.
    """
    return records.read_record(folder / RUN, "evaluate", RUN_KEYS)


@dataclass(frozen=True)
class Gallery:
    """Pictures of a split, and the objects that they show."""

    table: pd.DataFrame
    """One row per picture, as ``GALLERY`` declares it."""
    pictures: Mapping[str, bytes]
    """WebP bytes by file name."""

    def of_protocol(self, protocol: str) -> "Gallery":
        """The gallery, its table cut to one protocol."""
        return Gallery(self.table[self.table["protocol"] == protocol], self.pictures)


def write_gallery(folder: Path, gallery: Gallery) -> None:
    """Write a gallery, replacing the one that is there."""
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
    """Read a gallery.

    Raises
    ------
    DataError
        If the table or a picture is missing, or not as it was written.
    """
    record = folder / PICTURES_RECORD
    files = records.read_record(record, "gallery")[records.FILES]
    for name in (PICTURES, *files):
        records.check_recorded(folder / name, record, files)
    quoted = read_table(folder / PICTURES, GALLERY)
    table = quoted.assign(file=quoted["file"].str.removeprefix("'"))
    return Gallery(table, {name: (folder / name).read_bytes() for name in table["picture"]})


def write_runtime(path: Path, seconds: pd.DataFrame) -> None:
    """Write the seconds that methods take, and the record beside them."""
    write_table(path, RUNTIME, seconds)
    records.write_record(path.with_suffix(".json"), {}, [path])


def read_runtime(path: Path, models: Iterable[str]) -> pd.DataFrame:
    """Read the seconds that methods take.

    Raises
    ------
    DataError
        If the table is missing or not as it was written, or lacks a column or one of ``models``.
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
                f"{', '.join(sorted(timed)) or 'none'}: run the stage runtime again"
            )
    return table


def read_all_trials(train_splits: Iterable[str], models: Sequence[str]) -> pd.DataFrame:
    """Read the trials of every head, best first; none where the params' defaults were taken.

    ``trained_on`` and ``objective`` stand before their columns.

    Parameters
    ----------
    models
        From small to large.

    Raises
    ------
    DataError
        If a table is missing (``tune`` has not run is the usual cause), or not as it was written.
    """
    tables = []
    for split, objective in product(train_splits, objectives_of(models)):
        path, choice = trials_path(split, objective), tuning_path(split, objective)
        records.check_recorded(path, choice, records.read_record(choice, "tune")[records.FILES])
        trials = read_table(path, TRIALS)
        tables.append(trials.assign(trained_on=split, objective=objective))
    columns = ["trained_on", "objective", *TRIALS.columns]
    tables = [trials for trials in tables if len(trials)]
    return (
        pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    )
