"""Tables of results as CSV files, each written whole or not at all; readers check their columns."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pipeline.result_rows import Column, Table, columns_of, record
from storage.errors import DataError
from storage.folders import whole_file
from storage.outputs.records import check_exists, check_holds

BLOCK_ROWS: Final = 4096
"""Rows of a table that are read at once, where it is read in blocks."""

WRITTEN_ROWS: Final = 256
"""Rows that are text at once, before they are written; more would be no faster."""

EMPTY: Final = [""]
"""Only an empty cell is NaN: a split may be called "nan" or "NA"."""

Frames = pd.DataFrame | Iterable[pd.DataFrame]
"""Rows, or blocks of rows with the same columns, which are made as they are written."""


def as_frame(table: Table, rows: Iterable[object]) -> pd.DataFrame:
    """Rows of a table, one below the other; without a row, its columns alone."""
    return pd.DataFrame([record(row) for row in rows], columns=list(table.columns))


def blocks_as_frame(blocks: Iterable[object]) -> pd.DataFrame:
    """Blocks of rows, one below the other."""
    return pd.concat([pd.DataFrame(record(block)) for block in blocks], ignore_index=True)


def read_table(path: Path, table: Table, only: Collection[str] | None = None) -> pd.DataFrame:
    """Read a table that ``write_table`` wrote.

    Parameters
    ----------
    only
        The columns to read; those of heads by their whole name or, of all train splits, by that of
        the measure. None takes all, also those that are not declared.

    Raises
    ------
    DataError
        If it is missing, cut off inside a line, not CSV, lacks a declared column, or holds
        something else than numbers where it should.
    """
    _check_whole(path)
    with _naming_faults(path):
        found = pd.read_csv(
            path,
            # Not for all columns: lines that are too long would pass.
            usecols=None if only is None else lambda name: _is_asked(name, only),
            **_as_declared(table),
        )
    return _checked(path, found, table, only)


def _is_asked(name: str, only: Collection[str]) -> bool:
    return name in only or name.partition("@")[0] in only


def read_blocks(path: Path, table: Table) -> Iterator[pd.DataFrame]:
    """Read a table a block at a time: one of objects takes as much memory as all else.

    Raises
    ------
    DataError
        As ``read_table``, when the block is read.
    """
    _check_whole(path)
    with (
        _naming_faults(path),
        pd.read_csv(path, chunksize=BLOCK_ROWS, **_as_declared(table)) as blocks,
    ):
        for block in blocks:
            yield _checked(path, block, table)


def write_table(path: Path, table: Table, frames: Frames) -> None:
    """Write a table as declared: its columns in their order, its format of numbers.

    Raises
    ------
    DataError
        If a column is missing, or the blocks have not all the same columns.
    """
    write_csv(path, _declared(path, table, frames), table.number_format)


def write_csv(path: Path, frames: Frames, number_format: str | None) -> None:
    """Write rows without their index; NaN is an empty cell.

    Without a format, numbers have every digit they need.
    """
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for k, block in enumerate(_blocks(frames)):
            block.to_csv(
                file,
                index=False,
                header=k == 0,
                float_format=number_format,
                lineterminator="\n",
                chunksize=WRITTEN_ROWS,
            )


def _declared(path: Path, table: Table, frames: Frames) -> Iterator[pd.DataFrame]:
    columns: list[str] = []
    for block in _blocks(frames):
        check_holds(f"table {path.stem!r}", block.columns, columns or table.columns)
        columns = columns or [*table.columns, *_more(table, block)]
        yield block[columns]


def _more(table: Table, found: pd.DataFrame) -> list[str]:
    """Columns of a frame that follow the declared ones."""
    return [str(name) for name in found if name not in table.columns] if table.more else []


def _blocks(frames: Frames) -> Iterable[pd.DataFrame]:
    return [frames] if isinstance(frames, pd.DataFrame) else frames


def _check_whole(path: Path) -> None:
    check_exists(path)
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        if file.read(1) != b"\n":
            raise DataError(
                f"{path} must be a CSV table that ends with a line break, got a truncated one: "
                "run the stage that writes it again"
            )


@contextmanager
def _naming_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a CSV table, got {error}") from error


def _as_declared(table: Table) -> dict[str, Any]:
    return {
        "keep_default_na": False,
        "na_values": EMPTY,
        "dtype": {column.name: "str" for column in columns_of(table.row) if column.kind is str},
    }


def _checked(
    path: Path, found: pd.DataFrame, table: Table, only: Collection[str] | None = None
) -> pd.DataFrame:
    columns = [one for one in columns_of(table.row) if only is None or one.name in only]
    check_holds(path, found.columns, [column.name for column in columns])
    more = [Column(name, float, table.more) for name in _more(table, found)]
    for column in (*columns, *more):
        if column.kind is not str and len(found):
            _check_numbers(path, found[column.name], column)
    return found.fillna({column.name: "" for column in columns if column.kind is str})


def _check_numbers(path: Path, values: "pd.Series[Any]", column: Column) -> None:
    is_whole = column.kind is int
    numbers = pd.to_numeric(values, errors="coerce")
    is_faulty = numbers.isna() & (values.notna() | is_whole) | (is_whole & (numbers % 1 != 0))
    if is_faulty.any():
        kind = "whole numbers" if is_whole else "numbers"
        first = values[is_faulty].iloc[0]
        raise DataError(f"{path} must hold {kind} in the column {column.name}, got {first}")
