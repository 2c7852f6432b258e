"""One shard of a work store: its data, and the mark that says they are whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from storage.folders import flush
from storage.store.arrays import missing_files, read_arrays, readable
from storage.store.grid import file_name
from storage.store.inspection import AnyArray, Store
from storage.store.writing import checked, writable


def data_names(store: Store) -> list[str]:
    """Arrays that are written shard by shard, except the marks."""
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


def clear(store: Store, shard: int) -> None:
    """Remove a shard, its mark first.

    What is written over an old shard would be merged with it, and its file may be a hard link to
    the published one.
    """
    marks = [name for name in ("done", "images_sha256") if name in store.specs]
    for name in marks:
        _file(store, name, shard).unlink(missing_ok=True)
    for file in data_files(store, shard):
        file.unlink(missing_ok=True)


def write_data(store: Store, shard: int, rows: Mapping[str, np.ndarray]) -> None:
    """Write a shard's data and wait until they are on disk, so that no mark precedes them."""
    place = rows_of(store, shard)
    for name, values in rows.items():
        writable(store.group, name)[place] = values
    flush(_file(store, name, shard) for name in rows)


def data_files(store: Store, shard: int) -> list[Path]:
    """Files of a shard's data."""
    return [_file(store, name, shard) for name in data_names(store)]


def mark(store: Store, shard: int, images_sha256: str) -> None:
    """Mark a shard done; ``done`` itself is written last."""
    if "images_sha256" in store.specs:
        writable(store.group, "images_sha256")[shard : shard + 1] = np.array(
            [images_sha256], dtype=np.dtypes.StringDType()
        )
    writable(store.group, "done")[shard : shard + 1] = np.array([True])


def shard_images(store: Store) -> list[str | None]:
    """Digest of each shard's images; None if its mark is absent or unreadable."""
    done = readable(cast("AnyArray", store.group["done"]))
    digests = readable(cast("AnyArray", store.group["images_sha256"]))
    return [str(text) if is_done else None for text, is_done in zip(digests, done, strict=True)]


def lacking_shards(store: Store) -> set[int]:
    """Shards without a mark, or marked but missing a file, as after a repair of the disk."""
    undone = np.flatnonzero(~readable(cast("AnyArray", store.group["done"])))
    keys = [key.split("/c.") for key in missing_files(store, read_arrays(store))]
    lost = {int(key.split(".")[0]) for name, key in keys if not store.specs[name].is_constant}
    return lost.union(undone.tolist())


def _file(store: Store, name: str, shard: int) -> Path:
    n_dims = len(store.specs[name].dims)
    return store.path / name / file_name((shard, *[0] * (n_dims - 1)))
