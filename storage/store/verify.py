"""Reads every chunk of a store to find those that are damaged."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.store.grid import file_name
from storage.store.inspection import (
    DECODE_ERRORS,
    AnyArray,
    Store,
    array_grid,
    expected_files,
    open_store,
    read_arrays,
    readable,
)
from storage.store.shard_index import ABSENT, index_bytes, read_index


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
        Called with the number of files just read, out of ``n_files``.

    Returns
    -------
    Shards that are not done, unless the store is in the making; then damaged and missing chunks, in
    the order of the schema.

    Raises
    ------
    StoreError
        If the metadata are damaged, so that no array can be trusted.

    Notes
    -----
    Every flipped bit that changes a value is found. One to three bits of a chunk's header can flip
    unnoticed: zstd ignores them, and the values stay the same.
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
    """Number of chunk files that ``verify`` will read."""
    store = open_store(path)
    return sum(len(indices) for indices in _file_indices(store, read_arrays(store)).values())


def _file_indices(store: Store, arrays: Mapping[str, AnyArray]) -> dict[str, list[tuple[int, ...]]]:
    """Files that must be there and, in a work store, any others that are."""
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
    name, region = file.parent.name, array_grid(array).region(index)
    if not file.exists():
        yield Damage(name, file.name, "missing")
    elif not file.stat().st_size:
        # zarr reads an empty shard as the fill value, without an error.
        yield Damage(name, file.name, "empty")
    elif array.shards is not None:
        yield from _shard_damages(file, array, region, n_chunks=array.shards[0])
    elif (reason := _read_error(array, region)) is not None:
        yield Damage(name, file.name, reason)


def _shard_damages(
    file: Path, array: AnyArray, region: tuple[slice, ...], *, n_chunks: int
) -> Iterator[Damage]:
    """Damages of a shard, one object in memory at a time."""
    rows = range(region[0].start, region[0].stop)
    for row, reason in zip(rows, _index_errors(file, len(rows), n_chunks), strict=True):
        error = reason or _read_error(array, (slice(row, row + 1), *region[1:]))
        if error is not None:
            yield Damage(file.parent.name, f"{file.name} object {row}", error)


def _index_errors(file: Path, n_rows: int, n_chunks: int) -> list[str | None]:
    """What the index shows wrong with each object; zarr reads such objects as the fill value."""
    try:
        with file.open("rb", buffering=0) as opened:
            entries = read_index(opened, n_chunks)[:n_rows].tolist()
    except DECODE_ERRORS as error:
        return [str(error)] * n_rows
    end = file.stat().st_size - index_bytes(n_chunks)
    return [_entry_error(offset, length, end) for offset, length in entries]


def _entry_error(offset: int, length: int, end: int) -> str | None:
    if offset == ABSENT:
        return "missing in its shard"
    return "beyond the end of its shard" if offset + length > end else None


def _read_error(array: AnyArray, region: tuple[slice, ...]) -> str | None:
    try:
        array[region]
    except DECODE_ERRORS as error:
        return str(error)
    return None
