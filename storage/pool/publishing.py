"""Publishes a complete cell: joins its shards from the pool in one store per kind."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from storage.errors import N_HEX, StoreError
from storage.files.manifest import FileRecord, record_of, write_manifest
from storage.folders import SUFFIX, link_or_copy, whole_folder
from storage.pool.cell import Cell, ShardArrays, store_specs
from storage.store.chunk_grid import chunk_rows, shard_file
from storage.store.opening import IMAGES_DIGEST, images_digest
from storage.store.schema import SCHEMA
from storage.store.writing import create_store, writable, write_array


class DamagedShardsError(StoreError):
    """Shards in the pool are missing or damaged; ``faults`` has the error of each, by its name."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(f"shards must be as they were written, got {', '.join(faults.values())}")
        self.faults = faults


@dataclass(frozen=True)
class PublishedPart:
    """Result of comparing some shards of a cell with their digests and of writing their rows.

    Attributes
    ----------
    faults
        Error message of each damaged shard, by the shard's name; with one, no row was written.
    records
        Size and sha256 of the files that were written or linked, by their names in the stores.
    makers
        Names of the processors and GPUs that computed the intact shards, as far as known.
    """

    faults: dict[str, str] = field(default_factory=dict)
    records: dict[str, FileRecord] = field(default_factory=dict)
    makers: set[str] = field(default_factory=set)


Each = Callable[[Callable[..., PublishedPart], Sequence[tuple[Any, ...]]], Iterable[PublishedPart]]
"""Calls a function with each of some tuples of arguments, here or in other processes."""


def publish(cell: Cell, targets: Mapping[str, Path], each: Each = starmap) -> set[str]:
    """Join the shards of a cell to stores with manifests at ``targets``; each store appears whole.

    Every shard is read and compared with its digests. Masks and levels are hard-linked and take no
    more space. A store of masks gets the digest of its images as an attribute, since none of its
    arrays depends on the images' content. ``each`` runs ``publish_part`` for parts of the cell.

    Returns
    -------
    Names of the processors and GPUs that computed the shards, as far as known.

    Raises
    ------
    DamagedShardsError
        If shards are missing or damaged; nothing is written then.
    """
    with ExitStack() as stack:
        stores = {kind: stack.enter_context(whole_folder(to)) for kind, to in targets.items()}
        for kind, store in stores.items():
            _create(cell, kind, store)
        parts = [*each(publish_part, [(*part, stores) for part in _parts(cell)])]
        if faults := {name: why for part in parts for name, why in part.faults.items()}:
            raise DamagedShardsError(faults)
        for kind, store in stores.items():
            for left in store.rglob(f"*{SUFFIX}"):  # by a worker that was killed
                left.unlink(missing_ok=True)
            specs = store_specs(kind, cell.signature)
            records = (record for part in parts for record in part.records.items())
            write_manifest(store, {n: r for n, r in records if n.partition("/")[0] in specs})
    return {maker for part in parts for maker in part.makers}


def _create(cell: Cell, kind: str, store: Path) -> None:
    """Make a store of a cell without its rows and its manifest."""
    rows, is_embeddings = cell.split, kind == "embeddings"
    coords: dict[str, object] = {"file": rows.table.file}
    if not is_embeddings:
        coords = {"object_id": rows.table.object_id, "prompt": cell.signature["prompts"]}
    group = create_store(
        store,
        kind,
        {**cell.sizes, rows.dim: rows.n_rows},
        signature=cell.signature,
        coords=coords,
        optional=store_specs(kind, cell.signature),
    )
    if kind == "masks":
        group.update_attributes({IMAGES_DIGEST: images_digest(rows.images_sha256)})
    elif kind == "features":
        write_array(group, "images_sha256", SCHEMA[kind]["images_sha256"], rows.images_sha256)


def _parts(cell: Cell) -> Iterator[tuple[Cell, int, slice]]:
    """Cut a cell into parts of a few chunks of the published stores, see ``publish_part``."""
    n_rows, size = cell.split.n_rows, cell.split.shard_rows
    step = chunk_rows(n_rows)
    # So that no shard lies in more than two parts: each of its parts reads it.
    step *= -(-size // step)
    for start in range(0, n_rows, step):
        rows = slice(start, min(start + step, n_rows))
        first = start // size
        yield cell.part(first, -(-rows.stop // size)), first, rows


def publish_part(part: Cell, first: int, rows: slice, stores: Mapping[str, Path]) -> PublishedPart:
    """Compare some shards with their digests; write their rows, and link their masks or levels.

    It may run twice, and in another process than the other parts.

    Parameters
    ----------
    part
        The shards of a cell that have the rows.
    first
        Index in the cell of the part's first shard.
    rows
        Rows of the cell to write, which are whole chunks.
    stores
        The cell's stores by kind, without these rows; without any, shards are only compared.
    """
    done, shards = PublishedPart(), list[ShardArrays]()
    for i, name in enumerate(part.split.names, first):
        try:
            shard = part.read(name)
            shards.append(shard.rows)
            if i * part.split.shard_rows < rows.start:
                continue  # the part before has its files
            done.makers.update({shard.maker} - {""})
            for array, sha256 in shard.files_sha256.items():
                source, file = (
                    part.array_path(name, sha256),
                    shard_file(array, part.sharded[array], i),
                )
                done.records[file] = _compared(source, sha256)
                if stores:
                    link_or_copy(source, stores[part.kinds[-1]] / file)
        except (StoreError, OSError) as error:
            done.faults[name] = str(error)
    if stores and not done.faults:
        at = first * part.split.shard_rows
        done.records.update(_write(stores[part.kinds[0]], shards, at, rows))
    return done


def _compared(path: Path, sha256: str) -> FileRecord:
    record = record_of(path)
    if record.sha256 != sha256:
        raise StoreError(
            f"{path} must have the sha256 {sha256[:N_HEX]}, got {record.sha256[:N_HEX]}"
        )
    return record


def _write(
    store: Path, shards: Sequence[ShardArrays], at: int, rows: slice
) -> Iterator[tuple[str, FileRecord]]:
    """Write whole chunks of rows, of shards that begin in row ``at``; yield the files' records."""
    group = zarr.open_group(store, mode="r+")
    for name in shards[0]:
        array = writable(group, name)
        values = np.concatenate([shard[name] for shard in shards])
        array[rows] = values[rows.start - at : rows.stop - at]
        chunks = range(rows.start // array.chunks[0], -(-rows.stop // array.chunks[0]))
        for file in (store / name).glob("c.*"):
            if file.suffix != SUFFIX and int(file.name.split(".")[1]) in chunks:
                yield f"{name}/{file.name}", record_of(file)
