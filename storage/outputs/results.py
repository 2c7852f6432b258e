"""Results on disk: six CSV tables and a record of the run per eval split, one table of seconds."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from storage.errors import DataError
from storage.folders import whole_file, whole_folder
from storage.paths import remedy

OBJECT_COLUMNS: Final = (
    "protocol",
    "judged",
    "object_id",
    "model",
    "iou",
    "best_iou",
    "selected_iou",
    "refined_iou",
    "refined_selected_iou",
)
"""Which object, judged how, and the IoUs of its masks."""

MEASURE_COLUMNS: Final = ("protocol", "train_split", "model", "measure")
"""Which measure, and of which masks."""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "auc": (
            "protocol",
            "train_split",
            "tokens",
            "task",
            "model",
            "measure",
            "auc",
            "oracle",
            "worst",
            "relative",
            "auc_low",
            "auc_high",
            "relative_low",
            "relative_high",
            "margin",
            "margin_low",
            "margin_high",
            "tokens_margin",
            "tokens_margin_low",
            "tokens_margin_high",
        ),
        "iou": (
            "model",
            "view",
            "proposal",
            "mean_iou",
            "mean_iou_low",
            "mean_iou_high",
            "gain",
            "gain_low",
            "gain_high",
        ),
        "curves": (
            "protocol",
            "train_split",
            "task",
            "model",
            "measure",
            "corrected_fraction",
            "mean_iou",
        ),
        "correlation": ("protocol", "train_split", "model", "row"),
        "statistics": (
            *MEASURE_COLUMNS,
            "statistic",
            "iou_below",
            "value",
            "value_low",
            "value_high",
        ),
        "coverage": (*MEASURE_COLUMNS, "coverage", "selective_risk", "generalised_risk"),
        "reliability": (*MEASURE_COLUMNS, "bin", "predicted_iou", "iou", "iou_low", "iou_high"),
        "promises": (
            *MEASURE_COLUMNS,
            "promise",
            "iou_at_least",
            "alpha",
            "held",
            "held_low",
            "held_high",
            "kept",
            "kept_low",
            "kept_high",
        ),
        "objects": (*OBJECT_COLUMNS, "group", "sam_score"),
        "ranking": OBJECT_COLUMNS,
    }
)
"""First columns of each table; after them, ``correlation`` has one column for each of its rows,
``objects`` and ``ranking`` one for each measure."""

RUNTIME_SETTINGS: Final = (
    "family",
    "weights",
    "heads",
    "precision",
    "device",
    "torch_threads",
    "image",
    "repeats",
)
"""What the seconds depend on."""

RUNTIME_COLUMNS: Final = ("model", "method", "seconds", "ratio", *RUNTIME_SETTINGS)
"""Columns of ``runtime.csv``; ``ratio`` is the seconds over those of SAM2 alone, and all rows have
the same settings."""

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

FILES: Final = "files"
"""Key of ``run.json`` beside ``RUN_KEYS``: sha256 of each table's file."""

TEXT_COLUMNS: Final = dict.fromkeys(
    (
        "protocol",
        "judged",
        "train_split",
        "tokens",
        "task",
        "model",
        "measure",
        "row",
        "view",
        "proposal",
        "statistic",
        "promise",
        "end",
        "file",
        "picture",
    ),
    "str",
)

FLOAT_FORMAT: Final = "%.8g"
"""One digit more than single precision has."""

RUNTIME_FORMAT: Final = "%.6g"
"""Format of seconds and their ratios."""


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
    """How promises about kept masks held on images that they were not calibrated on; bounds are
    the middle 95 % of the splits."""
    objects: pd.DataFrame
    """IoU and measures of every object under each model, for each proposal that a protocol judges;
    ``iou`` is that of the judged mask."""
    ranking: pd.DataFrame
    """The part of ``objects`` that the gallery chooses by; it does not change with the views."""
    run: Mapping[str, Any]
    """``RUN_KEYS``."""


def write_results(folder: Path, results: SplitResults) -> None:
    """Write a split's results, replacing those that are there; equal results give equal bytes.

    Raises
    ------
    DataError
        If a table or ``run`` lacks a column or key.
    """
    _check_holds("run", list(results.run), RUN_KEYS)
    with whole_folder(folder) as partial:
        digests = {}
        for name in COLUMNS:
            table, path = getattr(results, name), partial / f"{name}.csv"
            _check_holds(f"table {name!r}", list(table.columns), COLUMNS[name])
            write_table(path, table)
            digests[path.name] = _sha256(path)
        write_json(partial / "run.json", {**results.run, FILES: digests})


def read_results(folder: Path) -> SplitResults:
    """Read a split's results.

    Raises
    ------
    DataError
        If a file is missing or lacks a column or key (written by another version), or a table is
        not the one that was written: cut off, or edited.
    """
    path = folder / "run.json"
    _check_exists(path)
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} must be JSON, got {error}") from error
    _check_holds(path, list(run), (*RUN_KEYS, FILES))
    digests = run.pop(FILES)
    tables = {}
    for name in COLUMNS:
        file = folder / f"{name}.csv"
        _check_exists(file)
        _check_written(file, str(digests.get(file.name, "none")))
        tables[name] = read_table(file, COLUMNS[name])
    return SplitResults(**tables, run=run)


def write_runtime(path: Path, runtime: pd.DataFrame) -> None:
    """Write the seconds that methods take.

    Raises
    ------
    DataError
        If it lacks one of ``RUNTIME_COLUMNS``.
    """
    _check_holds("runtime", list(runtime.columns), RUNTIME_COLUMNS)
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


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a table that ``write_table`` wrote.

    Raises
    ------
    DataError
        If it is missing, cut off inside a line, not CSV, or lacks one of ``columns``.
    """
    _check_exists(path)
    if not path.read_bytes().endswith(b"\n"):
        raise DataError(
            f"{path} must be a CSV table that ends with a line break, got a cut one: "
            "run the stage that writes it again"
        )
    try:
        # Only an empty cell is NaN: a split may be called "nan" or "NA".
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=TEXT_COLUMNS)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path} must be a CSV table, got {error}") from error
    _check_holds(path, list(table.columns), columns)
    return table.fillna(dict.fromkeys(TEXT_COLUMNS.keys() & set(table.columns), ""))


def write_table(path: Path, table: pd.DataFrame, float_format: str | None = FLOAT_FORMAT) -> None:
    """Write a table as CSV without its index; NaN is an empty cell.

    Without a format, floats have every digit they need.
    """
    with whole_file(path) as partial:
        table.to_csv(partial, index=False, float_format=float_format, lineterminator="\n")


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON for people and machines, keys in the given order."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a page, or any other text."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_written(path: Path, written: str) -> None:
    found = _sha256(path)
    if found != written:
        raise DataError(
            f"{path} must be the table that run.json lists, got another or a cut one "
            f"(sha256: {written[:12]} -> {found[:12]}): run the stage evaluate again"
        )


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path} must exist, got none{remedy(path)}")


def _check_holds(what: object, given: list[str], needed: tuple[str, ...]) -> None:
    if not set(needed) <= set(given):
        raise DataError(f"{what} must have {', '.join(needed)}, got {', '.join(given)}")
