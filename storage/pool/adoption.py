"""Takes shards from published stores into the pool, so that they are not computed again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from storage.errors import StoreError
from storage.folders import passing_folder
from storage.paths import WORK
from storage.pool.cell import Cell, ShardArrays, shard_arrays
from storage.pool.dvc_cache import lay_out, recorded_listings
from storage.split.split_cells import OpenCell, joined
from storage.store.chunk_grid import chunk_rows, shard_file
from storage.store.inspection import Store, open_store
from storage.store.opening import read_array, read_images


@contextmanager
def published_stores(outputs: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Yield the paths of a cell's stores by kind: ``features`` and ``masks``, or ``embeddings``.

    The paths are the ``outputs`` or, after DVC has removed the outputs for a re-run, links to the
    copies in DVC's cache, removed after the block. The mapping is empty if only some outputs are
    there, or if outputs and copies are missing.
    """
    are_there = [path.exists() for path in outputs.values()]
    if any(are_there):
        yield dict(outputs) if all(are_there) else {}
        return
    with recorded_stores(outputs) as links:
        yield links


@contextmanager
def recorded_stores(outputs: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Yield links to DVC's copies of a cell's stores, as ``dvc.lock`` records them, by kind.

    The links are removed after the block. The mapping is empty if ``dvc.lock`` lacks one of the
    ``outputs``, or DVC's cache lacks a file of them.
    """
    listings = recorded_listings()
    if any(path.as_posix() not in listings for path in outputs.values()):
        yield {}
        return
    with passing_folder(WORK / "adopted") as folder:
        links = {kind: folder / f"{kind}.zarr" for kind in outputs}
        laid_out = [
            lay_out(listings[path.as_posix()], links[kind]) for kind, path in outputs.items()
        ]
        yield links if all(laid_out) else {}


def open_published(paths: Mapping[str, Path]) -> OpenCell:
    """Open the published stores of a cell, given by kind; files need not be there whole.

    Raises a StoreError if a store is missing or damaged, or the stores are not of the same cell and
    images.
    """
    stores = {kind: open_store(path) for kind, path in paths.items()}
    cell = joined(stores, read_images(stores["features"]) if "masks" in stores else ())
    _ = cell.shard_names  # read here, where damage says that nothing can be taken
    return cell


def adopt(cell: Cell, published: OpenCell) -> dict[int, str]:
    """Put the shards that the pool lacks for ``cell`` from published stores into the pool.

    The stores must have the settings of ``cell``: ``Cell.difference`` says it, and it is not
    checked. Masks and levels are linked unread: publishing compares them with their digests.

    Returns
    -------
    The error message about each damaged shard, by the shard's index in the stores.
    """
    lacking = set(cell.lacking())
    shards = [i for i, name in enumerate(published.shard_names) if name in lacking]
    # All shards of a chunk are read at once: decoding a few rows of a chunk takes as long as all.
    main = published.store
    n_rows = main.sizes[cell.split.dim]
    n_together = max(1, chunk_rows(n_rows) // main.shard_rows)
    faults: dict[int, str] = {}
    for _, of_chunk in groupby(shards, lambda i: i // n_together):
        faults |= _adopt(cell, published, list(of_chunk))
    return faults


def _adopt(cell: Cell, published: OpenCell, shards: Sequence[int]) -> dict[int, str]:
    """Put published shards, by their indices, into the pool; return an error per damaged shard."""
    try:
        for i, rows in zip(shards, _rows(published.store, shards), strict=True):
            cell.adopt(published.shard_names[i], rows, _files(published, i))
    except StoreError as error:
        if len(shards) == 1:
            return {shards[0]: str(error)}
        return {i: why for shard in shards for i, why in _adopt(cell, published, [shard]).items()}
    return {}


def _rows(store: Store, shards: Sequence[int]) -> list[ShardArrays]:
    """Read the arrays of each of some shards, by name, except masks and levels.

    ``shards`` are the indices of the shards in the store, in rising order; one at least. Raises a
    StoreError if a shard between the first and the last of them is damaged.
    """
    size, first = store.shard_rows, shards[0]
    span = slice(first * size, (shards[-1] + 1) * size)
    names = shard_arrays(store.kind, store.signature, sharded=False)
    rows = {name: read_array(store, name, span) for name in names}
    slices = [slice((i - first) * size, (i - first + 1) * size) for i in shards]
    return [{name: values[shard] for name, values in rows.items()} for shard in slices]


def _files(published: OpenCell, shard: int) -> dict[str, tuple[Path, str]]:
    """Files that hold only rows of one shard (its masks or levels), by the name of their array.

    Each file comes with the sha256 that the manifest of its store lists for it. Raises a StoreError
    if a file is missing.
    """
    files = {}
    for store in published.stores.values():
        for array, spec in shard_arrays(store.kind, store.signature, sharded=True).items():
            name = shard_file(array, spec, shard)
            if not (store.path / name).exists():
                raise StoreError(f"{store.path / name} is missing")
            files[array] = store.path / name, store.manifest[name].sha256
    return files
