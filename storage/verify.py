"""Reading every chunk of a store, to say which are damaged."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from storage.grid import file_name
from storage.inspection import (
    DECODE_ERRORS,
    AnyArray,
    Store,
    array_grid,
    expected_files,
    open_store,
    read_arrays,
    readable,
)

INDEX_ENTRY_BYTES: Final = 16
"""Of a shard's index: offset and length of a chunk, both 64 bits."""

CHECKSUM_BYTES: Final = 4
"""At the end of a shard's index."""

ABSENT: Final = 2**64 - 1
"""Offset of a chunk that a shard does not hold."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with one file of a store."""

    array: str
    key: str
    reason: str


def verify(path: Path, advance: Callable[[int], None] | None = None) -> list[Damage]:
    """Read every chunk of every array of a store.

    Parameters
    ----------
    advance
        Told how many more files are read, of ``n_files``.

    Returns
    -------
    Damaged and missing chunks, in the order of the schema; shards that are not done, unless the
    store is in the making.

    Raises
    ------
    StoreError
        If the metadata are damaged, so that no array can be trusted.

    Notes
    -----
    Every flipped bit that changes a value is found. One to three bits of a chunk's header are
    found by no one: zstd ignores them, and the values stay what they were.
    """
    store = open_store(path)
    arrays = read_arrays(store)
    damages = list(_undone(store, arrays))
    for name, indices in _file_indices(store, arrays).items():
        for index in indices:
            damages += _file_damages(store.path / name / file_name(index), arrays[name], index)
            if advance is not None:
                advance(1)
    return damages


def n_files(path: Path) -> int:
    """Files of chunks that ``verify`` will read."""
    store = open_store(path)
    return sum(len(indices) for indices in _file_indices(store, read_arrays(store)).values())


def _file_indices(store: Store, arrays: Mapping[str, AnyArray]) -> dict[str, list[tuple[int, ...]]]:
    """Files that must be there, and in a work store also those that are."""
    found = {}
    for name, expected in expected_files(store, arrays).items():
        present = {entry.name for entry in (store.path / name).iterdir()}
        indices = array_grid(arrays[name]).file_indices()
        found[name] = [index for index in indices if file_name(index) in present.union(expected)]
    return found


def _undone(store: Store, arrays: Mapping[str, AnyArray]) -> Iterator[Damage]:
    if "done" not in arrays or store.layout == "work":
        return
    if _read_error(arrays["done"], (slice(None),)) is None:
        for shard in np.flatnonzero(~readable(arrays["done"])):
            yield Damage("done", f"shard {shard}", "not done")


def _file_damages(file: Path, array: AnyArray, index: tuple[int, ...]) -> Iterator[Damage]:
    """Damages of one file; those of a shard are told by the object, where its index is whole."""
    name = file.parent.name
    region = array_grid(array).region(index)
    if not file.exists():
        yield Damage(name, file.name, "missing")
        return
    reason = _read_error(array, region)
    if not file.stat().st_size:
        reason = "empty"  # of an empty shard, zarr reads the fill value without an error
    if array.shards is None or reason == "empty":
        if reason is not None:
            yield Damage(name, file.name, reason)
        return
    rows = region[0]
    absent = _absent_chunks(file, rows.stop - rows.start, n_chunks=array.shards[0])
    for row in range(rows.start, rows.stop) if reason else []:
        row_reason = _read_error(array, (slice(row, row + 1), *region[1:]))
        if row_reason is not None:
            yield Damage(name, f"{file.name} object {row}", row_reason)
    for place in absent:
        yield Damage(name, f"{file.name} object {rows.start + place}", "missing in its shard")


def _read_error(array: AnyArray, region: tuple[slice, ...]) -> str | None:
    try:
        array[region]
    except DECODE_ERRORS as error:
        return str(error)
    return None


def _absent_chunks(file: Path, n_rows: int, *, n_chunks: int) -> list[int]:
    """Places of a shard that hold nothing: zarr reads the fill value there, without an error."""
    n_bytes = n_chunks * INDEX_ENTRY_BYTES
    index = file.read_bytes()[-n_bytes - CHECKSUM_BYTES : -CHECKSUM_BYTES]
    if len(index) < n_bytes:
        return []  # cut short, which reading has found
    offsets = np.frombuffer(index, "<u8").reshape(-1, 2)[:n_rows, 0]
    return [int(place) for place in np.flatnonzero(offsets == ABSENT)]
