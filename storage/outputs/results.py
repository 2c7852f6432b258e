"""Results on disk: CSV tables and a record of the run per eval split, one table of seconds."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from storage.errors import DataError
from storage.folders import whole_folder
from storage.outputs.columns import COLUMNS, FILES, RUN_KEYS, RUNTIME_COLUMNS, RUNTIME_FORMAT
from storage.outputs.files import (
    Table,
    check_exists,
    check_holds,
    checked_blocks,
    read_table,
    write_json,
    write_table,
)

OF_OBJECTS: Final = ("objects", "ranking")
"""Tables with a row for each object under each model and judged mask."""


@dataclass(frozen=True)
class SplitResults:
    """What ``evaluate`` computes for one split; each table is a file of its name."""

    auc: pd.DataFrame
    """AUC of every protocol, task, model and measure, fractions of 1, with intervals over images or
    videos. ``train_split`` and ``tokens`` are those of the heads, empty for a measure without
    heads; ``margin`` is the relative AUC minus that of 1 - SamScore of the judged mask,
    ``tokens_margin`` minus that of the same measure from the tokens of the judged proposal."""
    iou: pd.DataFrame
    """Mean IoU of every model, view and proposal, with intervals over images or videos; ``gain`` is
    the mean IoU minus that of the same model's mask, best or selected, from one click in the first
    view, identity."""
    curves: pd.DataFrame
    """Mean IoU against the corrected fraction, for each task's default model."""
    correlation: pd.DataFrame
    """Pearson correlations of each model and train split."""
    statistics: pd.DataFrame
    """Statistics of every measure, model and protocol, one per row, with intervals over images or
    videos; ``iou_below`` is empty for those that are not about failures."""
    coverage: pd.DataFrame
    """Risk of the largest model's kept masks by their share, the least uncertain kept first."""
    reliability: pd.DataFrame
    """Predicted and true IoU of every measure that predicts one, in bins of equal mass."""
    promises: pd.DataFrame
    """Share of the largest model's masks that each promise keeps, calibrated on all images of the
    split; without the promises that keep nothing."""
    pixels: pd.DataFrame
    """How well the pixels of each model's masks agree with the ground truth, one statistic per row,
    with intervals over images or videos; ``region`` is all of the mask or the band around the
    outline."""
    objects: pd.DataFrame
    """IoU and measures of every object under each model, for each proposal that a protocol judges;
    ``iou`` is that of the judged mask."""
    ranking: pd.DataFrame
    """The part of ``objects`` that the gallery chooses by; it does not change with the views."""
    run: Mapping[str, Any]
    """``RUN_KEYS``."""


def write_results(folder: Path, tables: Mapping[str, Table], run: Mapping[str, Any]) -> None:
    """Write a split's results, replacing those that are there; equal results give equal bytes.

    Parameters
    ----------
    tables, run
        As ``SplitResults`` has them.

    Raises
    ------
    DataError
        If a table or ``run`` lacks a column or key.
    """
    check_holds("run", list(run), RUN_KEYS)
    with whole_folder(folder) as partial:
        digests = {}
        for name, columns in COLUMNS.items():
            path = partial / f"{name}.csv"
            write_table(path, checked_blocks(f"table {name!r}", tables[name], columns))
            digests[path.name] = _sha256(path)
        write_json(partial / "run.json", {**run, FILES: digests})


def read_results(folder: Path, *, of_objects: Collection[str] | None = None) -> SplitResults:
    """Read a split's results.

    Parameters
    ----------
    of_objects
        Columns of ``objects`` and ``ranking`` to read, which grow with the objects and take more
        memory than all else; None takes all.

    Raises
    ------
    DataError
        If a file is missing or lacks a column or key (written by another version), or a table is
        not the one that was written: cut off, or edited.
    """
    run = read_run(folder)
    digests = run.pop(FILES)
    tables = {}
    for name in COLUMNS:
        file = folder / f"{name}.csv"
        check_exists(file)
        _check_written(file, str(digests.get(file.name, "none")))
        only = of_objects if name in OF_OBJECTS else None
        needed = tuple(one for one in COLUMNS[name] if only is None or one in only)
        tables[name] = read_table(file, needed, only)
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


def write_runtime(path: Path, runtime: pd.DataFrame) -> None:
    """Write the seconds that methods take.

    Raises
    ------
    DataError
        If it lacks one of ``RUNTIME_COLUMNS``.
    """
    check_holds("runtime", list(runtime.columns), RUNTIME_COLUMNS)
    write_table(path, runtime, RUNTIME_FORMAT)


def read_runtime(path: Path, models: Iterable[str]) -> pd.DataFrame:
    """Read the seconds that methods take.

    Raises
    ------
    DataError
        If the table is missing, cut off, not CSV, or lacks one of ``RUNTIME_COLUMNS`` or of
        ``models``.
    """
    table = read_table(path, RUNTIME_COLUMNS)
    methods = set(table["method"])
    for model in sorted(models):
        timed = set(table.loc[table["model"] == model, "method"])
        if not timed or timed != methods:
            raise DataError(
                f"{path} must have every method of {model}, got "
                f"{', '.join(sorted(timed)) or 'none'}: run the stage runtime again"
            )
    return table


def _sha256(path: Path) -> str:
    with path.open("rb") as file:  # not read whole: the table of objects is large
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_written(path: Path, written: str) -> None:
    found = _sha256(path)
    if found != written:
        raise DataError(
            f"{path} must be the table that run.json lists, got another or a cut one "
            f"(sha256: {written[:12]} -> {found[:12]}): run the stage evaluate again"
        )
