"""Takes intact shards of published stores back into a work folder, to compute only the others."""

from collections.abc import Mapping

import numpy as np

from storage.cell import shards
from storage.files.manifest import record_of
from storage.folders import put_files, put_link
from storage.store.arrays import array_grid, read_arrays
from storage.store.inspection import AnyArray, Store
from storage.store.marks import Mark, put_mark
from storage.store.verify import STRAY, Damage, verify


def damaged_shards(published: Store, *, sizes_only: bool = False) -> dict[int, str]:
    """What is wrong with each shard of a published store whose files are not as its manifest says.

    Marks are of all shards. What is written anew with every store, such as coordinates, is of none,
    and neither is a file that the manifest does not list.
    """
    arrays = read_arrays(published)
    n_shards = arrays["done"].shape[0]
    found: dict[int, str] = {}
    damages = verify(published.files, sizes_only=sizes_only)
    for damage in (damage for damage in damages if damage.reason != STRAY):
        text = f"{published.kind} {damage.array}/{damage.key}: {damage.reason}"
        for shard in _touched(published, arrays, damage, n_shards):
            found.setdefault(shard, text)
    return found


def seed_shard(work: Mapping[str, Store], published: Mapping[str, Store], shard: int) -> None:
    """Put a shard of published stores into work stores, and mark it; masks are linked."""
    folder = work["features"].path.parent
    files = {}
    for kind, store in work.items():
        place = shards.rows_of(store, shard)
        arrays = read_arrays(published[kind])
        names = shards.data_names(store)
        if kind == "masks":
            for name in names:
                file = shards.data_file(store, name, shard)
                put_link(published[kind].path / file.relative_to(store.path), file)
        else:
            rows = {name: np.asarray(arrays[name][place]) for name in names}
            put_files(shards.encoded(store, shard, rows))
        for name in names:
            file = shards.data_file(store, name, shard)
            files[file.relative_to(folder).as_posix()] = record_of(file)
    images = read_arrays(published["features"])["images_sha256"][shard : shard + 1]
    put_mark(folder, shard, Mark(str(np.asarray(images)[0]), files))


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
