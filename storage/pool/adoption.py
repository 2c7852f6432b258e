"""Puts shards of published stores into the pool before any is computed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from storage.errors import StoreError
from storage.folders import passing_folder
from storage.paths import WORK
from storage.pool.cell import Cell, Rows, shard_arrays
from storage.pool.dvc_cache import lay_out, recorded_listings
from storage.split.object_table import names_of_rows
from storage.store.chunk_grid import chunk_rows, mask_file
from storage.store.inspection import Store, check_identity, open_store
from storage.store.opening import check_same_images, read_array, read_images


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
class PublishedShards:
    """The stores of a published cell, by their kinds, as a source of shards.

    Attributes
    ----------
    names
        Of its shards.
    """

    stores: Mapping[str, Store]
    names: tuple[str, ...]

    def read(self, shards: Sequence[int]) -> list[Rows]:
        """Features of some shards, which rise.

        Raises
        ------
        StoreError
            If they are damaged, or what lies between them.
        """
        features, first = self.stores["features"], shards[0]
        size = features.shard_objects
        together = slice(first * size, (shards[-1] + 1) * size)
        rows = {name: read_array(features, name, together) for name in shard_arrays("features")}
        own = [slice((i - first) * size, (i - first + 1) * size) for i in shards]
        return [{name: values[some] for name, values in rows.items()} for some in own]

    def masks(self, shard: int) -> tuple[Path, str]:
        """File of a shard's masks, and the digest that it must have.

        Raises
        ------
        StoreError
            If it is missing.
        """
        masks, name = self.stores["masks"], mask_file(shard)
        path = masks.path / name
        if not path.exists():
            raise StoreError(f"{path} is missing")
        return path, masks.manifest[name].sha256


def open_published(paths: Mapping[str, Path]) -> PublishedShards:
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
    if "masks" in stores:
        check_same_images(stores["masks"], read_images(features))
    rows_sha256 = read_array(features, "input_sha256")
    names = names_of_rows(rows_sha256, features.shard_objects)
    return PublishedShards(stores, tuple(names))


def adopt(cell: Cell, published: PublishedShards) -> tuple[int, dict[int, str]]:
    """Put the shards of a matching published cell that the pool lacks into it.

    Masks are linked unread: publishing compares them with what the manifest says of them.

    Returns
    -------
    How many, and what is wrong with each that is damaged, by its index in the published stores.
    """
    lacking = set(cell.lacking())
    wanted = [i for i, name in enumerate(published.names) if name in lacking]
    # Those of a chunk at a time: to decode it for a few of its rows takes as long as for all.
    features = published.stores["features"]
    n_rows = features.sizes["object"]
    n_together = max(1, chunk_rows(n_rows) // features.shard_objects)
    faults: dict[int, str] = {}
    for _, some in groupby(wanted, lambda i: i // n_together):
        faults |= _adopt(cell, published, list(some))
    adopted = [published.names[i] for i in wanted if i not in faults]
    if adopted:
        cell.note_published(adopted)
    return len(adopted), faults


def _adopt(cell: Cell, published: PublishedShards, shards: Sequence[int]) -> dict[int, str]:
    """Put some shards into the pool; what is wrong with those that are damaged."""
    try:
        for i, rows in zip(shards, published.read(shards), strict=True):
            masks = published.masks(i) if "masks" in cell.kinds else None
            cell.adopt(published.names[i], rows, masks)
    except StoreError as error:
        if len(shards) == 1:
            return {shards[0]: str(error)}
        return {i: why for one in shards for i, why in _adopt(cell, published, [one]).items()}
    return {}
