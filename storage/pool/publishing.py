"""Publishes a complete cell, whose stores appear whole, and cleans the pool."""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from storage.errors import N_HEX, StoreError
from storage.files.manifest import FileRecord, record_of, write_manifest
from storage.folders import begun_files, link_or_copy, whole_folder
from storage.paths import POOL
from storage.pool.cell import MASKS, NPZ, PUBLISHED, Cell, Rows, names_in
from storage.store.chunk_grid import chunk_rows, mask_file
from storage.store.opening import IMAGES, images_digest
from storage.store.schema import SCHEMA, cell_specs
from storage.store.writing import create_store, writable, write_array


@dataclass(frozen=True)
class Comparison:
    """Result of comparing every shard of a cell with its digests.

    Attributes
    ----------
    faults
        Why shards are damaged, by their names.
    masks
        Size and digest of the file of masks of each intact shard, by the shard's name.
    makers
        Names of the processors and GPUs that made intact shards, if they are known.
    """

    faults: dict[str, str] = field(default_factory=dict)
    masks: dict[str, FileRecord] = field(default_factory=dict)
    makers: set[str] = field(default_factory=set)


def compare_shards(cell: Cell) -> Comparison:
    """Read every shard of a cell, and compare its masks with the digest in its features."""
    compared = Comparison()
    for name in cell.split.shards:
        try:
            features = cell.read(name)
            if "masks" in cell.kinds:
                compared.masks[name] = _masks_record(cell, name, features.masks_sha256)
        except (StoreError, OSError) as error:
            compared.faults[name] = str(error)
        else:
            compared.makers.update({features.maker} - {""})
    return compared


def _masks_record(cell: Cell, name: str, sha256: str) -> FileRecord:
    path = cell.masks_path(name, sha256)
    record = record_of(path)
    if record.sha256 != sha256:
        raise StoreError(
            f"{path} must have the sha256 {sha256[:N_HEX]}, got {record.sha256[:N_HEX]}"
        )
    return record


def publish(cell: Cell, targets: Mapping[str, Path], compared: Comparison) -> None:
    """Write the stores of a cell with their manifests; each appears whole.

    Masks are hard-linked and take no extra room. A store of masks has the digest of its images as
    an attribute, since no array of it depends on them.

    Parameters
    ----------
    targets
        Paths of the stores, by their kinds.
    compared
        Comparison of all shards, without a fault: masks are linked without reading them again.
    """
    for kind, target in targets.items():
        with whole_folder(target) as partial:
            records = _write(cell, kind, partial, compared)
            write_manifest(partial, records)
    cell.note_published(cell.split.shards)


def _write(cell: Cell, kind: str, store: Path, compared: Comparison) -> dict[str, FileRecord]:
    """Write a store without its manifest; return the records of its linked files."""
    split = cell.split
    group = create_store(
        store,
        kind,
        cell.sizes,
        signature=cell.signature,
        coords={"object_id": split.table.object_id, "prompt": cell.signature["prompts"]},
        optional=cell_specs(kind, cell.signature["view"]),
    )
    images = split.images_sha256
    if kind == "masks":
        group.update_attributes({IMAGES: images_digest(images)})
        return _link_masks(cell, store, compared)
    write_array(group, "images_sha256", SCHEMA[kind]["images_sha256"], images)
    for rows, values in _blocks(cell):
        for name, block in values.items():
            writable(group, name)[rows] = block
    return {}


def _link_masks(cell: Cell, store: Path, compared: Comparison) -> dict[str, FileRecord]:
    records = {}
    for i, name in enumerate(cell.split.names):
        record = compared.masks[name]
        records[mask_file(i)] = record
        link_or_copy(cell.masks_path(name, record.sha256), store / mask_file(i))
    return records


def _blocks(cell: Cell) -> Iterator[tuple[slice, Rows]]:
    """Features of consecutive rows, a few published chunks at a time, to save memory."""
    n_rows, size = cell.split.table.n_objects, cell.split.shard_objects
    step = chunk_rows(n_rows)
    step *= -(
        -size // step
    )  # so that no shard lies in more than two blocks, each of which reads it
    for start in range(0, n_rows, step):
        first = start // size
        names = cell.split.names[first : -(-(start + step) // size)]
        shards = [cell.read(name).rows for name in names]
        block = slice(start - first * size, start - first * size + step)
        rows = {key: np.concatenate([shard[key] for shard in shards])[block] for key in shards[0]}
        yield slice(start, min(start + step, n_rows)), rows


@dataclass
class Cleaned:
    """What cleaning removed and kept.

    Attributes
    ----------
    n_shards
        Shards that were removed.
    n_bytes
        Bytes freed: a file that a store or DVC's cache also links still takes space.
    unpublished
        Shards that no current cell uses and that were never published, by their folder.
    """

    n_shards: int = 0
    n_bytes: int = 0
    unpublished: dict[Path, int] = field(default_factory=dict)


def clean(asked: Mapping[Path, Collection[str]], pool: Path = POOL) -> Cleaned:
    """Remove published shards, except some; also masks whose features are not there.

    Parameters
    ----------
    asked
        Names of the shards that present cells ask for, by their folder.
    """
    cleaned = Cleaned()
    for folder in sorted(path for path in pool.glob("*") if path.is_dir()):
        begun = {name.removesuffix(NPZ) for name in begun_files(folder)}
        there, published = names_in(folder), _published(folder)
        free = there - {*asked.get(folder, ())}
        gone = free & published
        for file in sorted(folder.iterdir()):
            name = file.name.partition(".")[0]
            if file.suffix in {NPZ, MASKS} and (name in gone or name not in there | begun):
                cleaned.n_bytes += _remove(file)
        cleaned.n_shards += len(gone)
        if free - gone:
            cleaned.unpublished[folder] = len(free - gone)
        if not names_in(folder) | begun:
            shutil.rmtree(folder, ignore_errors=True)
    return cleaned


def _published(folder: Path) -> set[str]:
    """Names of a folder's published shards, without those of a damaged list."""
    found: set[str] = set()
    for path in folder.glob(f"{PUBLISHED}/*.json"):
        with suppress(ValueError):
            found.update(json.loads(path.read_bytes()))
    return found


def _remove(file: Path) -> int:
    """Remove a file; bytes that this frees."""
    known = file.stat()
    file.unlink()
    return known.st_size if known.st_nlink == 1 else 0
