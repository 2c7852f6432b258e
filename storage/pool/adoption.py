"""Puts shards of published stores into the pool before any is computed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.errors import StoreError
from storage.folders import passing_folder
from storage.paths import WORK
from storage.pool.cell import MASK_CODE, Cell, Rows, shard_arrays
from storage.pool.dvc_cache import lay_out, recorded_listings
from storage.pool.inputs import names_of_rows
from storage.store.grid import chunk_rows, file_name
from storage.store.inspection import AnyArray, Store, check_identity, open_store
from storage.store.opening import (
    check_same_images,
    naming_damage,
    read_arrays,
    read_images,
)


@contextmanager
def published_stores(outputs: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Stores of a cell by their kinds: its outputs or, where DVC has removed these to make them
    again, what its cache has of them, as links for the time of the block. None if one is missing.
    """
    if all(path.exists() for path in outputs.values()):
        yield dict(outputs)
        return
    listings = recorded_listings()
    if any(path.exists() or path.as_posix() not in listings for path in outputs.values()):
        yield {}
        return
    with passing_folder(WORK / "adopted") as folder:
        links = {kind: folder / f"{kind}.zarr" for kind in outputs}
        laid_out = [
            lay_out(listings[path.as_posix()], links[kind]) for kind, path in outputs.items()
        ]
        yield links if all(laid_out) else {}


@dataclass(frozen=True, eq=False)
class PublishedCell:
    """The stores of a published cell, by their kinds, as a source of shards.

    Attributes
    ----------
    names
        Of its shards.
    """

    stores: Mapping[str, Store]
    arrays: Mapping[str, AnyArray]
    names: tuple[str, ...]

    @property
    def signature(self) -> Mapping[str, object]:
        """All that its rows depend on."""
        return self.stores["features"].signature

    @property
    def n_together(self) -> int:
        """Shards that are read at a time: to decode a chunk for a few of its rows takes as long as
        for all.
        """
        return max(1, chunk_rows(self.arrays["object_id"].shape[0]) // self.shard_objects)

    @property
    def shard_objects(self) -> int:
        """Objects per shard."""
        return self.stores["features"].shard_objects

    def read(self, shards: range) -> Iterator[tuple[int, Rows | str]]:
        """Features of consecutive shards, each by its index, or what is wrong with them."""
        features, size = self.stores["features"], self.shard_objects
        some = slice(shards.start * size, shards.stop * size)
        rows = {}
        try:
            for name in shard_arrays("features"):
                with naming_damage(features, name):
                    rows[name] = np.asarray(self.arrays[name][some])
        except StoreError as error:
            if len(shards) == 1:
                yield shards.start, str(error)
            else:
                for shard in shards:
                    yield from self.read(range(shard, shard + 1))
            return
        for i, shard in enumerate(shards):
            own = slice(i * size, (i + 1) * size)
            yield shard, {name: values[own] for name, values in rows.items()}

    def masks(self, shard: int) -> tuple[Path, str]:
        """File of a shard's masks, and the digest that it must have."""
        masks, name = self.stores["masks"], f"{MASK_CODE}/{file_name((shard, 0, 0, 0, 0))}"
        return masks.path / name, masks.manifest[name].sha256


def open_published(paths: Mapping[str, Path]) -> PublishedCell:
    """Open the stores of a cell.

    Raises
    ------
    StoreError
        If one is damaged, or they are not of the same cell and images.
    """
    stores = {kind: open_store(path) for kind, path in paths.items()}
    features = stores["features"]
    for kind, store in stores.items():
        # DVC checks out each alone.
        check_identity(store, kind, features.signature)
    arrays = read_arrays(features)
    if "masks" in stores:
        check_same_images(stores["masks"], read_images(features, arrays))
    with naming_damage(features, "input_sha256"):
        rows_sha256 = np.asarray(arrays["input_sha256"][...])
    names = names_of_rows(rows_sha256, features.shard_objects)
    return PublishedCell(stores, arrays, tuple(names))


def adopt(cell: Cell, published: PublishedCell) -> tuple[int, dict[int, str]]:
    """Put the shards of a matching published cell that the pool lacks into it.

    Masks are linked unread: publishing compares them with what the manifest says of them.

    Returns
    -------
    How many, and what is wrong with each that is damaged, by its index in the published stores.
    """
    lacking, n_shards = set(cell.lacking()), len(published.names)
    wanted = {i for i, name in enumerate(published.names) if name in lacking}
    faults: dict[int, str] = {}
    for first in range(0, n_shards, published.n_together):
        some = range(first, min(first + published.n_together, n_shards))
        for i, rows in [] if wanted.isdisjoint(some) else published.read(some):
            if i in wanted and (fault := _put(cell, published, i, rows)):
                faults[i] = fault
    return len(wanted) - len(faults), faults


def _put(cell: Cell, published: PublishedCell, shard: int, rows: Rows | str) -> str:
    """Put a shard into the pool, or say what is wrong with it."""
    if isinstance(rows, str):
        return rows
    path, sha256 = published.masks(shard) if "masks" in cell.kinds else (None, "")
    if path is not None and not path.exists():
        return f"{path} is missing"
    cell.adopt(published.names[shard], rows, path, sha256)
    return ""
