"""Takes intact shards of published stores back into a work folder, to compute only the others."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from storage.cell import shards
from storage.cell.records import keep_records
from storage.folders import link_or_copy
from storage.store.arrays import array_grid, read_arrays
from storage.store.inspection import AnyArray, Store
from storage.store.verify import Damage, verify


def damaged_shards(published: Store) -> dict[int, str]:
    """What is wrong with each shard of a published store whose files are not as its manifest says.

    Marks are of all shards. What is written anew with every store, such as coordinates, is of none.
    """
    arrays = read_arrays(published)
    n_shards = arrays["done"].shape[0]
    found: dict[int, str] = {}
    for damage in verify(published.files):
        text = f"{published.kind} {damage.array}/{damage.key}: {damage.reason}"
        for shard in _touched(published, arrays, damage, n_shards):
            found.setdefault(shard, text)
    return found


def seed_shard(work: Mapping[str, Store], published: Mapping[str, Store], shard: int) -> None:
    """Put a shard of published stores into work stores, and mark it; masks are linked."""
    folder = work["features"].path.parent
    files: list[Path] = []
    for kind, store in work.items():
        place = shards.rows_of(store, shard)
        arrays = read_arrays(published[kind])
        if kind == "masks":
            for file in shards.data_files(store, shard):
                name = file.relative_to(store.path)
                file.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(published[kind].path / name, file)
        else:
            rows = {name: np.asarray(arrays[name][place]) for name in shards.data_names(store)}
            shards.write_data(store, shard, rows)
        files += shards.data_files(store, shard)
    keep_records(folder, shard, files)
    images = read_arrays(published["features"])["images_sha256"][shard : shard + 1]
    for store in reversed(list(work.values())):
        shards.mark(store, shard, str(np.asarray(images)[0]))


def _touched(store: Store, arrays: Mapping[str, AnyArray], damage: Damage, n_shards: int) -> range:
    """Shards with rows in a damaged file."""
    spec = store.specs.get(damage.array)
    if spec is None or spec.is_constant or damage.key == "zarr.json":
        return range(0)
    if spec.chunking == "marks":
        return range(n_shards)
    index = tuple(map(int, damage.key.split()[0].split(".")[1:]))
    rows = array_grid(arrays[damage.array]).region(index)[0]
    return range(rows.start // store.shard_objects, -(-rows.stop // store.shard_objects))
