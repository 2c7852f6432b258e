"""Takes shards from published stores into the pool, so that they are not computed again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from storage.errors import StoreError
from storage.folders import passing_folder
from storage.paths import WORK
from storage.pool.cell import Cell, ShardArrays, shard_arrays
from storage.pool.dvc_cache import lay_out, recorded_listings
from storage.split.sharded_table import names_of_rows
from storage.store.chunk_grid import chunk_rows, shard_file
from storage.store.inspection import Store, check_identity, open_store
from storage.store.opening import check_same_images, read_array, read_images


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


@dataclass(frozen=True, eq=False)
class PublishedShards:
    """The shards in the published stores of a cell, which are outputs of DVC.

    Attributes
    ----------
    stores
        The cell's open stores by kind.
    names
        Names of the shards, in the order of the rows.
    """

    stores: Mapping[str, Store]
    names: tuple[str, ...]

    @property
    def main(self) -> Store:
        """The store of features or embeddings; the pool keeps its arrays in ``.npz`` files."""
        return self.stores.get("features") or self.stores["embeddings"]

    @property
    def is_faulty(self) -> bool:
        """Whether a file of a store in a folder is missing or of another size than listed."""
        return any(store.faulty for store in self.stores.values())

    def read(self, shards: Sequence[int]) -> list[ShardArrays]:
        """Read the arrays of each of some shards, by name, except masks and levels.

        ``shards`` are the indices of the shards in the stores, in rising order; one at least.
        Raises a StoreError if a shard between the first and the last of them is damaged.
        """
        store, first = self.main, shards[0]
        size = store.shard_rows
        span = slice(first * size, (shards[-1] + 1) * size)
        specs = shard_arrays(store.kind, store.signature)
        names = [name for name, spec in specs.items() if spec.chunking != "single_rows"]
        rows = {name: read_array(store, name, span) for name in names}
        slices = [slice((i - first) * size, (i - first + 1) * size) for i in shards]
        return [{name: values[shard] for name, values in rows.items()} for shard in slices]

    def files(self, shard: int) -> dict[str, tuple[Path, str]]:
        """Files that hold only rows of one shard (its masks or levels), by the name of their array.

        Each file comes with the sha256 that the manifest of its store lists for it. Raises a
        StoreError if a file is missing.
        """
        files = {}
        for store in self.stores.values():
            for array, spec in shard_arrays(store.kind, store.signature).items():
                if spec.chunking == "single_rows":
                    name = shard_file(array, spec, shard)
                    if not (store.path / name).exists():
                        raise StoreError(f"{store.path / name} is missing")
                    files[array] = store.path / name, store.manifest[name].sha256
        return files


def open_published(paths: Mapping[str, Path]) -> PublishedShards:
    """Open the published stores of a cell, given by kind.

    Raises a StoreError if a store is missing or damaged, or the stores are not of the same cell and
    images.
    """
    stores = {kind: open_store(path) for kind, path in paths.items()}
    main = PublishedShards(stores, ()).main
    for kind, store in stores.items():
        # DVC checks out each store separately, so the stores may be of different runs.
        check_identity(store, kind, main.signature)
    if "masks" in stores:
        check_same_images(stores["masks"], read_images(main))
    inputs = [str(sha256) for sha256 in read_array(main, "input_sha256")]
    return PublishedShards(stores, tuple(names_of_rows(inputs, main.shard_rows)))


def adopt(cell: Cell, published: PublishedShards) -> tuple[int, dict[int, str]]:
    """Put the shards that the pool lacks for ``cell`` from published stores into the pool.

    Whether the stores have the settings of ``cell`` is not checked; ``Cell.fits`` says it. Masks
    and levels are linked without being read: publishing compares them with their digests.

    Returns
    -------
    Number of shards put into the pool, and the error message about each damaged shard by the
    shard's index in the stores.
    """
    lacking = set(cell.lacking())
    shards = [i for i, name in enumerate(published.names) if name in lacking]
    # All shards of a chunk are read at once: decoding a few rows of a chunk takes as long as all.
    main = published.main
    n_rows = main.sizes[cell.split.dim]
    n_together = max(1, chunk_rows(n_rows) // main.shard_rows)
    faults: dict[int, str] = {}
    for _, of_chunk in groupby(shards, lambda i: i // n_together):
        faults |= _adopt(cell, published, list(of_chunk))
    return len(shards) - len(faults), faults


def _adopt(cell: Cell, published: PublishedShards, shards: Sequence[int]) -> dict[int, str]:
    """Put published shards, by their indices, into the pool; return an error per damaged shard."""
    try:
        for i, rows in zip(shards, published.read(shards), strict=True):
            cell.adopt(published.names[i], rows, published.files(i))
    except StoreError as error:
        if len(shards) == 1:
            return {shards[0]: str(error)}
        return {i: why for shard in shards for i, why in _adopt(cell, published, [shard]).items()}
    return {}
