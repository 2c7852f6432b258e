"""Files for people and machines, each whole or not there at all: CSV tables, JSON, text."""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd

from storage.errors import DataError
from storage.folders import whole_file
from storage.outputs.columns import FLOAT_FORMAT, TEXT_COLUMNS
from storage.paths import remedy

CHUNK_ROWS: Final = 256
"""Rows that are text in memory before they are written."""

BLOCK_ROWS: Final = 4096
"""Rows of a table that are read at once, where it is read in blocks."""

EMPTY: Final = [""]
"""Only an empty cell is NaN: a split may be called "nan" or "NA"."""

Table = pd.DataFrame | Iterable[pd.DataFrame]
"""Rows, or blocks of rows with the same columns, which are made as they are written."""


def read_table(
    path: Path, columns: tuple[str, ...], only: Collection[str] | None = None
) -> pd.DataFrame:
    """Read a table that ``write_table`` wrote.

    Parameters
    ----------
    only
        The columns to read; None takes all, also those that are not in ``columns``.

    Raises
    ------
    DataError
        If it is missing, cut off inside a line, not CSV, or lacks one of ``columns``.
    """
    _check_whole(path)
    with _naming_faults(path):
        table = pd.read_csv(
            path,
            # Not for all columns: lines that are too long would pass.
            usecols=None if only is None else lambda name: name in only,
            keep_default_na=False,
            na_values=EMPTY,
            dtype=TEXT_COLUMNS,
        )
    return _checked(path, table, columns)


def read_blocks(path: Path, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """Read a table a block at a time: one of objects takes as much memory as all else.

    Raises
    ------
    DataError
        As ``read_table``, when the block is read.
    """
    _check_whole(path)
    with (
        _naming_faults(path),
        pd.read_csv(
            path,
            chunksize=BLOCK_ROWS,
            keep_default_na=False,
            na_values=EMPTY,
            dtype=TEXT_COLUMNS,
        ) as blocks,
    ):
        for block in blocks:
            yield _checked(path, block, columns)


def write_table(path: Path, table: Table, float_format: str | None = FLOAT_FORMAT) -> None:
    """Write a table as CSV without its index; NaN is an empty cell.

    Without a format, floats have every digit they need.
    """
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for place, block in enumerate(_blocks(table)):
            block.to_csv(
                file,
                index=False,
                header=place == 0,
                float_format=float_format,
                lineterminator="\n",
                chunksize=CHUNK_ROWS,
            )


def checked_blocks(what: str, table: Table, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """Blocks of a table that has some columns.

    Raises
    ------
    DataError
        If it lacks one of them, or its blocks have not all the same columns.
    """
    first: tuple[str, ...] = ()
    for block in _blocks(table):
        check_holds(what, list(block.columns), first or columns)
        first = first or tuple(block.columns)
        yield block


def _check_whole(path: Path) -> None:
    check_exists(path)
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        if file.read(1) != b"\n":
            raise DataError(
                f"{path} must be a CSV table that ends with a line break, got a cut one: "
                "run the stage that writes it again"
            )


@contextmanager
def _naming_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path} must be a CSV table, got {error}") from error


def _checked(path: Path, table: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    check_holds(path, list(table.columns), columns)
    return table.fillna(dict.fromkeys(TEXT_COLUMNS.keys() & set(table.columns), ""))


def _blocks(table: Table) -> Iterable[pd.DataFrame]:
    return [table] if isinstance(table, pd.DataFrame) else table


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON for people and machines, keys in the given order."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a page, or any other text."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def check_exists(path: Path) -> None:
    """Check that a file is there.

    Raises
    ------
    DataError
        If not; it says which stage writes the file.
    """
    if not path.is_file():
        raise DataError(f"{path} must exist, got none{remedy(path)}")


def check_holds(what: object, given: list[str], needed: tuple[str, ...]) -> None:
    """Check that a table or a record has the columns or keys that it needs.

    Raises
    ------
    DataError
        If one is missing.
    """
    if not set(needed) <= set(given):
        raise DataError(f"{what} must have {', '.join(needed)}, got {', '.join(given)}")
