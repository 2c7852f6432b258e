"""Holds every file of a store to its manifest."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.errors import StoreError
from storage.files.files import Files
from storage.files.manifest import FILE, N_HEX, ROOT, FileRecord
from storage.store.arrays import array_grid, read_arrays
from storage.store.inspection import DECODE_ERRORS, AnyArray, Store, open_store
from storage.store.mask_chunks import ABSENT, index_bytes, read_index

STRAY: Final = "not in the manifest"
"""Reason of a file that is none of the store's, and keeps none of them from being read."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with one file of a store."""

    array: str
    key: str
    reason: str


def verify(
    where: str | Path | Files,
    advance: Callable[[int], None] | None = None,
    *,
    sizes_only: bool = False,
) -> list[Damage]:
    """Hold every file of a store to its manifest.

    Parameters
    ----------
    advance
        Called with the number of files just looked at, out of ``n_files``.
    sizes_only
        Ask for the size of each file, read none: finds what is missing or cut short.

    Returns
    -------
    Files that are missing or not as the manifest says, in the order of the schema; files that it
    does not list.

    Raises
    ------
    StoreError
        If the metadata are damaged, so that no array can be trusted.
    """
    store = open_store(where)
    arrays = read_arrays(store)
    damages: list[Damage] = []
    for found in _look_at_files(store, arrays, sizes_only=sizes_only):
        damages += found
        if advance is not None:
            advance(1)
    return damages + [Damage(*_array_and_key(name), STRAY) for name in _strays(store)]


def n_files(where: str | Path | Files) -> int:
    """Number of files that ``verify`` will look at."""
    return len(open_store(where).manifest)


def _look_at_files(
    store: Store, arrays: Mapping[str, AnyArray], *, sizes_only: bool
) -> Iterator[list[Damage]]:
    """Damages of each file of the manifest."""
    sizes = store.files.sizes(store.manifest)
    order = {name: place for place, name in enumerate(arrays)}
    for name in sorted(store.manifest, key=lambda name: order.get(_array_and_key(name)[0], -1)):
        record = store.manifest[name]
        if name not in sizes:
            yield [Damage(*_array_and_key(name), "missing")]
        elif sizes[name] != record.n_bytes:
            yield _reasons(store, arrays, name, f"{record.n_bytes} bytes -> {sizes[name]}")
        elif sizes_only or (difference := _difference(store.files, name, record)) is None:
            yield []
        else:
            yield _reasons(store, arrays, name, difference)


def _reasons(
    store: Store, arrays: Mapping[str, AnyArray], name: str, difference: str
) -> list[Damage]:
    """What is wrong with a file that is not as the manifest says, object by object if it shows."""
    array, key = _array_and_key(name)
    folder = store.files.folder
    found: list[Damage] = []
    shards = arrays[array].shards if array in arrays and key != ROOT else None
    if folder is not None and shards is not None:
        index = tuple(map(int, key.split(".")[1:]))
        region = array_grid(arrays[array]).region(index)
        found = list(_shard_damages(folder / name, arrays[array], region, n_chunks=shards[0]))
    return found or [Damage(array, key, difference)]


def _difference(files: Files, name: str, wanted: FileRecord) -> str | None:
    """How the content of a file differs from its record; None if it does not."""
    try:
        found = files.record(name)
    except StoreError as error:  # an archive's own checksum
        return str(error)
    if found == wanted:
        return None
    return f"sha256 {wanted.sha256[:N_HEX]} -> {found.sha256[:N_HEX]}"


def _array_and_key(name: str) -> tuple[str, str]:
    """Array and key of a file; for those of the store itself, ``metadata`` and the name."""
    array, _, key = name.rpartition("/")
    return array or "metadata", key


def _strays(store: Store) -> list[str]:
    """Files that no manifest tells of."""
    # Servers of the web list nothing.
    if store.files.where.startswith(("http://", "https://")):
        return []
    known = {*store.manifest, FILE}
    return [name for name in store.files.names() if name not in known]


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
