"""Reads and writes tables of results as CSV files; a file is written whole or not at all.

Readers check the columns only: callers first compare the file with the digest in its record.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pandas as pd

from storage.folders import whole_file
from storage.outputs.csv_forms import Table
from storage.outputs.records import check_holds

BLOCK_ROWS: Final = 4096
"""Number of rows that ``read_blocks`` reads at once."""

WRITTEN_ROWS: Final = 256
"""Number of rows that are formatted as text at once; a larger number would not be faster."""

EMPTY: Final = [""]
"""Texts that are read as NaN: only an empty cell, since a split may be called "nan" or "NA"."""

Frames = pd.DataFrame | Iterable[pd.DataFrame]
"""Rows of a table, or an iterable of blocks of rows with the same columns."""


def read_table(path: Path, table: Table, only: Collection[str] | None = None) -> pd.DataFrame:
    """Read a table that ``write_table`` wrote; an empty cell of text is an empty text, else NaN.

    ``only`` has the names of the columns to read; ``<name>`` also reads ``<name>@<train split>`` of
    every train split. None reads all columns, declared or not. Raises a DataError if the file lacks
    a declared column that is to be read.
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
    """Yield a table in blocks of ``BLOCK_ROWS`` rows, since a table of objects may be large.

    Raises a DataError if the file lacks a declared column.
    """
    with pd.read_csv(path, chunksize=BLOCK_ROWS, **_as_declared(table)) as blocks:
        for block in blocks:
            yield _checked(path, block, table)


def write_table(path: Path, table: Table, frames: Frames) -> None:
    """Write rows, or blocks of rows, with the declared columns and number format of ``table``.

    Undeclared columns follow the declared ones if ``table.more`` describes them; otherwise they are
    left out. Raises a DataError if a declared column is missing, or a block lacks a column of the
    first block; a file at ``path`` then stays as it was.
    """
    write_csv(path, _declared(path, table, frames), table.number_format)


def write_csv(path: Path, frames: Frames, number_format: str | None) -> None:
    """Write rows, or blocks of rows, as CSV without their index; NaN becomes an empty cell.

    If ``number_format`` is None, floats are written with every digit that they need.
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
        "dtype": {column.name: "str" for column in table.declared if column.kind is str},
    }


def _checked(
    path: Path, rows: pd.DataFrame, table: Table, only: Collection[str] | None = None
) -> pd.DataFrame:
    columns = [column for column in table.declared if only is None or column.name in only]
    check_holds(path, rows.columns, [column.name for column in columns])
    return rows.fillna({column.name: "" for column in columns if column.kind is str})
