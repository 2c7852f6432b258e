"""One shard of a cell in the making: its files as bytes, and whether those on disk are whole."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from storage.files.manifest import FileRecord, record_of
from storage.store.grid import file_name
from storage.store.inspection import AnyArray, Store
from storage.store.marks import Mark
from storage.store.writing import checked, writable

Identity = tuple[int, int, int]
"""Inode, bytes and time of change of a file: a file that is replaced has another one."""


def data_names(store: Store) -> list[str]:
    """Arrays that are written shard by shard."""
    return [
        name
        for name, spec in store.specs.items()
        if not spec.is_constant and spec.chunking != "marks"
    ]


def rows_of(store: Store, shard: int) -> slice:
    """Objects of a shard; the last one may be smaller."""
    n_objects = cast("AnyArray", store.group["object_id"]).shape[0]
    start = shard * store.shard_objects
    return slice(start, min(start + store.shard_objects, n_objects))


def checked_rows(store: Store, shard: int, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Data of a shard, each array held to the store's dtype and shape.

    Raises
    ------
    StoreError
        If one differs (the message names it).
    """
    place = rows_of(store, shard)
    found = {}
    for name in data_names(store):
        shape = (place.stop - place.start, *cast("AnyArray", store.group[name]).shape[1:])
        found[name] = checked(name, store.specs[name], rows[name], shape)
    return found


def encoded(store: Store, shard: int, rows: Mapping[str, np.ndarray]) -> dict[Path, bytes]:
    """Files of a shard's data, by their paths.

    Zarr would write them in place one by one, and merge them with those of an earlier writer.
    """
    place = rows_of(store, shard)
    prototype = default_buffer_prototype()
    found = {}
    for name, values in rows.items():
        memory = MemoryStore()
        metadata = (store.path / name / "zarr.json").read_bytes()
        sync(memory.set(f"{name}/zarr.json", prototype.buffer.from_bytes(metadata)))
        sync(memory.set("zarr.json", prototype.buffer.from_bytes(_GROUP)))
        writable(zarr.open_group(memory, mode="r+"), name)[place] = values
        file = data_file(store, name, shard)
        data = sync(memory.get(file.relative_to(store.path).as_posix(), prototype))
        assert data is not None  # chunks of fill values are written, too
        found[file] = data.to_bytes()
    return found


def data_file(store: Store, name: str, shard: int) -> Path:
    """File of a shard's rows of an array."""
    n_dims = len(store.specs[name].dims)
    return store.path / name / file_name((shard, *[0] * (n_dims - 1)))


class Intact:
    """Files that were found to be as they were recorded; each is read once until it changes."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Identity, FileRecord]] = {}

    def damage(self, folder: Path, mark: Mark, *, sizes_only: bool = False) -> str | None:
        """What is wrong with the files of a marked shard; None if they are as recorded."""
        for name, record in mark.files.items():
            path = folder / name
            identity = _identity(path)
            if identity is None:
                return f"{name} is missing"
            if sizes_only and identity[1] == record.n_bytes:
                continue
            if (found := self._record(path, identity)) != record:
                return (
                    f"{name} must have {record.n_bytes} bytes with sha256 {record.sha256[:12]}, "
                    f"got {found.n_bytes} with {found.sha256[:12]}"
                )
        return None

    def changed(self) -> Iterator[Path]:
        """Files that were replaced since they were read."""
        return (path for path, (known, _) in self._known.items() if _identity(path) != known)

    def _record(self, path: Path, identity: Identity) -> FileRecord:
        if path not in self._known or self._known[path][0] != identity:
            self._known[path] = (identity, record_of(path))
        return self._known[path][1]


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


_GROUP = b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'
