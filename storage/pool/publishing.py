"""Publishes a complete cell: joins its shards from the pool in one store per kind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from storage.errors import N_HEX, StoreError
from storage.files.manifest import FileRecord, record_of, write_manifest
from storage.folders import link_or_copy, whole_folder
from storage.pool.cell import Cell, ShardArrays, store_specs
from storage.store.chunk_grid import chunk_rows, shard_file
from storage.store.opening import IMAGES_DIGEST, images_digest
from storage.store.schema import SCHEMA
from storage.store.writing import create_store, writable, write_array


@dataclass(frozen=True)
class Comparison:
    """Result of reading every shard of a cell and comparing it with its digests.

    Attributes
    ----------
    faults
        Error message of each damaged shard, by the shard's name.
    files
        Size and sha256 of the file of masks, or of each level's file, of each intact shard: by the
        shard's name, then by array.
    makers
        Names of the processors and GPUs that computed the intact shards, as far as known.
    """

    faults: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, FileRecord]] = field(default_factory=dict)
    makers: set[str] = field(default_factory=set)


def compare_shards(cell: Cell) -> Comparison:
    """Read every shard of a cell from the pool, and compare its masks or levels with their sha256.

    Errors are collected in the result, not raised; a missing shard is a fault, too.
    """
    compared = Comparison()
    for name in cell.split.shards:
        try:
            shard = cell.read(name)
            compared.files[name] = {
                array: _record(cell.array_path(name, sha256), sha256)
                for array, sha256 in shard.files_sha256.items()
            }
        except (StoreError, OSError) as error:
            compared.faults[name] = str(error)
        else:
            compared.makers.update({shard.maker} - {""})
    return compared


def _record(path: Path, sha256: str) -> FileRecord:
    record = record_of(path)
    if record.sha256 != sha256:
        raise StoreError(
            f"{path} must have the sha256 {sha256[:N_HEX]}, got {record.sha256[:N_HEX]}"
        )
    return record


def publish(cell: Cell, targets: Mapping[str, Path], compared: Comparison) -> None:
    """Join the shards of a cell to stores with manifests at ``targets``; each store appears whole.

    Masks and levels are hard-linked and take no more space. A store of masks gets the digest of its
    images as an attribute, since none of its arrays depends on the images' content. ``compared`` is
    a result of ``compare_shards`` without a fault, so that masks need not be read again.
    """
    for kind, target in targets.items():
        with whole_folder(target) as partial:
            records = _write(cell, kind, partial, compared)
            write_manifest(partial, records)


def _write(cell: Cell, kind: str, store: Path, compared: Comparison) -> dict[str, FileRecord]:
    """Write a store without its manifest; return the records of its hard-linked files by name."""
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
    if not is_embeddings:
        images = rows.images_sha256
        if kind == "masks":
            group.update_attributes({IMAGES_DIGEST: images_digest(images)})
            return _link_files(cell, store, compared)
        write_array(group, "images_sha256", SCHEMA[kind]["images_sha256"], images)
    for block, values in _blocks(cell):
        for name, values_of_block in values.items():
            writable(group, name)[block] = values_of_block
    return _link_files(cell, store, compared) if is_embeddings else {}


def _link_files(cell: Cell, store: Path, compared: Comparison) -> dict[str, FileRecord]:
    records = {}
    for array, spec in cell.sharded.items():
        for i, name in enumerate(cell.split.names):
            record, file = compared.files[name][array], shard_file(array, spec, i)
            records[file] = record
            link_or_copy(cell.array_path(name, record.sha256), store / file)
    return records


def _blocks(cell: Cell) -> Iterator[tuple[slice, ShardArrays]]:
    """Yield a cell's arrays of ``.npz`` files in blocks of a few chunks of the published store."""
    n_rows, size = cell.split.n_rows, cell.split.shard_rows
    step = chunk_rows(n_rows)
    # So that no shard lies in more than two blocks: each of its blocks reads it.
    step *= -(-size // step)
    for start in range(0, n_rows, step):
        first = start // size
        names = cell.split.names[first : -(-(start + step) // size)]
        shards = [cell.read(name).rows for name in names]
        block = slice(start - first * size, start - first * size + step)
        rows = {key: np.concatenate([shard[key] for shard in shards])[block] for key in shards[0]}
        yield slice(start, min(start + step, n_rows)), rows
