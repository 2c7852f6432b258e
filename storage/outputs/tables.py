"""Tables of results as CSV files, each written whole or not at all; readers check their columns.

Readers trust the file: callers first compare it with its digest, which a record beside it has.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

from storage.folders import whole_file
from storage.outputs.csv_forms import Table, columns_of, record
from storage.outputs.records import check_holds

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
        The columns to read: columns of heads by their whole name or, for all train splits, by the
        name of the measure. None takes all columns, declared or not.

    Raises
    ------
    DataError
        If it lacks a declared column.
    """
    rows = pd.read_csv(
        path,
        usecols=None if only is None else lambda name: _is_asked(name, only),
        **_as_declared(table),
    )
    return _checked(path, rows, table, only)


def _is_asked(name: str, only: Collection[str]) -> bool:
    return name in only or name.partition("@")[0] in only


def read_blocks(path: Path, table: Table) -> Iterator[pd.DataFrame]:
    """Read a table block by block: a table of objects takes as much memory as all else.

    Raises
    ------
    DataError
        As ``read_table``, when the block is read.
    """
    with pd.read_csv(path, chunksize=BLOCK_ROWS, **_as_declared(table)) as blocks:
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
        undeclared = [str(name) for name in block if name not in table.columns]
        columns = columns or [*table.columns, *(undeclared if table.more else [])]
        yield block[columns]


def _blocks(frames: Frames) -> Iterable[pd.DataFrame]:
    return [frames] if isinstance(frames, pd.DataFrame) else frames


def _as_declared(table: Table) -> dict[str, Any]:
    return {
        "keep_default_na": False,
        "na_values": EMPTY,
        "dtype": {column.name: "str" for column in columns_of(table.row) if column.kind is str},
    }


def _checked(
    path: Path, rows: pd.DataFrame, table: Table, only: Collection[str] | None = None
) -> pd.DataFrame:
    columns = [column for column in columns_of(table.row) if only is None or column.name in only]
    check_holds(path, rows.columns, [column.name for column in columns])
    return rows.fillna({column.name: "" for column in columns if column.kind is str})
