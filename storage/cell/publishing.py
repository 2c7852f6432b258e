"""Publishes a work store as a tracked output."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr

from storage.files.manifest import Manifest, write_manifest
from storage.folders import link_or_copy, whole_folder
from storage.store.arrays import array_grid, check_complete, naming_damage, sizes_of
from storage.store.grid import file_name
from storage.store.inspection import AnyArray, Store
from storage.store.writing import create_store, writable


def publish_store(work: Store, target: Path, records: Manifest) -> None:
    """Make a complete work store appear at ``target``, in few large chunks, with its manifest.

    Shards of masks are hard-linked and take no extra room. The work store stays as it is.

    Parameters
    ----------
    records
        Records of the shards' files, taken when they were written, so that what is linked is not
        read again.

    Raises
    ------
    StoreError
        If the work store is incomplete or damaged.
    """
    arrays = check_complete(work)
    names = [name for name, spec in work.specs.items() if spec.is_coordinate]
    with whole_folder(target) as partial:
        group = create_store(
            partial,
            work.kind,
            sizes_of(work, arrays),
            signature=work.signature,
            coords={name: _read(work, arrays[name], slice(None)) for name in names},
            shard_objects=work.shard_objects,
        )
        for name, spec in work.specs.items():
            if spec.chunking == "objects":
                _link(work.path / name, partial / name, arrays[name])
            elif name not in names:
                _copy(work, arrays[name], group, name)
        linked = {name for name, spec in work.specs.items() if spec.chunking == "objects"}
        write_manifest(
            partial,
            {name: record for name, record in records.items() if name.split("/")[0] in linked},
        )


def _copy(work: Store, source: AnyArray, group: zarr.Group, name: str) -> None:
    target = writable(group, name)
    for rows in _blocks(target):
        target[rows] = _read(work, source, rows)


def _blocks(target: AnyArray) -> Iterator[slice]:
    """Rows of one chunk at a time, so that memory holds no more."""
    step = target.chunks[0]
    for start in range(0, target.shape[0], step):
        yield slice(start, min(start + step, target.shape[0]))


def _read(work: Store, source: AnyArray, rows: slice) -> np.ndarray:
    with naming_damage(work.path):
        return np.asarray(source[rows])


def _link(source: Path, target: Path, array: AnyArray) -> None:
    for index in array_grid(array).file_indices():
        link_or_copy(source / file_name(index), target / file_name(index))
