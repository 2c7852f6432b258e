"""Results on disk: tables and a record of the run per eval split, pictures, seconds, trials."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pipeline.result_rows import GALLERY, RANKING, RUNTIME, SPLIT_TABLES, TRIALS
from pipeline.vocabulary import OBJECTIVES
from storage.errors import DataError
from storage.folders import whole_folder, write_json
from storage.images.files import sha256_file
from storage.outputs.tables import Frames, check_exists, check_holds, read_table, write_table
from storage.outputs.tuning import read_tuning
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

FILES: Final = "files"
"""Key of ``run.json`` beside ``RUN_KEYS``: sha256 of each table's file."""

PICTURES: Final = "gallery.csv"
"""Table of the pictures of a gallery."""


@dataclass(frozen=True)
class SplitResults:
    """What ``evaluate`` computes for one split: ``SPLIT_TABLES``."""

    auc: pd.DataFrame
    iou: pd.DataFrame
    curves: pd.DataFrame
    correlation: pd.DataFrame
    statistics: pd.DataFrame
    coverage: pd.DataFrame
    reliability: pd.DataFrame
    promises: pd.DataFrame
    pixels: pd.DataFrame
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
    check_holds("run", list(run), RUN_KEYS)
    with whole_folder(folder) as partial:
        digests = {}
        for name, table in _FILES.items():
            path = partial / f"{name}.csv"
            write_table(path, table, tables[name])
            digests[path.name] = sha256_file(path)
        write_json(partial / "run.json", {**run, FILES: digests})


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
        If a file is missing or lacks a column or key (written by another version), or a table is
        not the one that was written: cut off, or edited.
    """
    run = read_run(folder)
    digests = run.pop(FILES)
    tables = {}
    for name, table in _FILES.items():
        file = folder / f"{name}.csv"
        check_exists(file)
        _check_written(file, str(digests.get(file.name, "none")))
        if name in SPLIT_TABLES:
            tables[name] = read_table(file, table, of_objects if name == "objects" else None)
    return SplitResults(**tables, run=run)


def read_run(folder: Path) -> dict[str, Any]:
    """Read the record of the run whose results are in a folder, with the digests of its tables.

    Raises
    ------
    DataError
        If it is missing, or lacks a key (written by another version).
    """
    path = folder / "run.json"
    check_exists(path)
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} must be JSON, got {error}") from error
    check_holds(path, list(run), (*RUN_KEYS, FILES))
    return run


@dataclass(frozen=True)
class Gallery:
    """Pictures of a split, and what each shows."""

    table: pd.DataFrame
    """One row per picture, as ``GALLERY`` declares it."""
    pictures: Mapping[str, bytes]
    """JPEG bytes by file name."""

    def of_protocol(self, protocol: str) -> "Gallery":
        """The gallery, its table cut to one protocol."""
        return Gallery(self.table[self.table["protocol"] == protocol], self.pictures)


def write_gallery(folder: Path, gallery: Gallery) -> None:
    """Write a gallery, replacing the one that is there."""
    with whole_folder(folder) as partial:
        write_table(partial / PICTURES, GALLERY, gallery.table)
        for name, jpeg in gallery.pictures.items():
            (partial / name).write_bytes(jpeg)


def read_gallery(folder: Path) -> Gallery:
    """Read a gallery.

    Raises
    ------
    DataError
        If the table is missing, cut off or lacks a column, or a picture is missing.
    """
    table = read_table(folder / PICTURES, GALLERY)
    missing = [name for name in table["picture"] if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} must hold the pictures of {PICTURES}, got no {missing[0]}")
    untold = sorted({path.name for path in folder.glob("*.jpg")} - set(table["picture"]))
    if untold:
        raise DataError(
            f"{folder / PICTURES} must have a row for each picture, got none for {untold[0]}: "
            "run the stage gallery again"
        )
    return Gallery(table, {name: (folder / name).read_bytes() for name in table["picture"]})


def read_runtime(path: Path, models: Iterable[str]) -> pd.DataFrame:
    """Read the seconds that methods take.

    Raises
    ------
    DataError
        If the table is missing, cut off, not CSV, or lacks a column or one of ``models``.
    """
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


def read_trials(split: str, objective: str) -> pd.DataFrame:
    """Read the trials of a head, best first; none where the params' defaults were taken.

    Raises
    ------
    DataError
        If the table is missing (``tune`` has not run is the usual cause), damaged, or has fewer or
        more trials than the choice records.
    """
    path = trials_path(split, objective)
    trials = read_table(path, TRIALS)
    n_trials = read_tuning(tuning_path(split, objective)).n_trials
    if len(trials) != n_trials:
        raise DataError(
            f"{path} must have {n_trials} trials, got {len(trials)}: run the stage tune again"
        )
    return trials


def read_all_trials(train_splits: Iterable[str]) -> pd.DataFrame:
    """Read the trials of every head; ``trained_on`` and ``objective`` stand before their columns.

    Raises
    ------
    DataError
        As ``read_trials``.
    """
    heads = list(product(train_splits, OBJECTIVES))
    found = [
        read_trials(split, objective).assign(trained_on=split, objective=objective)
        for split, objective in heads
    ]
    columns = ["trained_on", "objective", *TRIALS.columns]
    some = [trials for trials in found if len(trials)]
    return pd.concat(some, ignore_index=True)[columns] if some else pd.DataFrame(columns=columns)


def _check_written(path: Path, written: str) -> None:
    found = sha256_file(path)
    if found != written:
        raise DataError(
            f"{path} must be the table that run.json lists, got another or a cut one "
            f"(sha256: {written[:12]} -> {found[:12]}): run the stage evaluate again"
        )
