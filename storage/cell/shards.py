"""One shard of a cell in the making: its rows and its files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import numpy as np
import zarr
from zarr.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from storage.files.files import run
from storage.store.grid import file_name
from storage.store.inspection import AnyArray, Store
from storage.store.writing import checked, writable


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
        run(memory.set(f"{name}/zarr.json", prototype.buffer.from_bytes(metadata)))
        run(memory.set("zarr.json", prototype.buffer.from_bytes(_GROUP)))
        writable(zarr.open_group(memory, mode="r+"), name)[place] = values
        file = data_file(store, name, shard)
        data = run(memory.get(file.relative_to(store.path).as_posix(), prototype))
        assert data is not None  # chunks of fill values are written, too
        found[file] = data.to_bytes()
    return found


def data_file(store: Store, name: str, shard: int) -> Path:
    """File of a shard's rows of an array."""
    n_dims = len(store.specs[name].dims)
    return store.path / name / file_name((shard, *[0] * (n_dims - 1)))


_GROUP: Final = b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'
