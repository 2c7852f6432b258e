"""Publishes a work store as a tracked output."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import zarr

from storage.files.manifest import FileRecord, write_manifest
from storage.folders import link_or_copy, whole_folder
from storage.store.arrays import IMAGES, array_grid, images_digest, naming_damage, sizes_of
from storage.store.grid import file_name
from storage.store.inspection import AnyArray, Store
from storage.store.marks import Mark
from storage.store.opening import check_complete
from storage.store.writing import create_store, writable, write_array


def publish_store(
    work: Store, target: Path, marks: Sequence[Mark], check_unchanged: Callable[[], None]
) -> None:
    """Make a complete work store appear at ``target``, in few large chunks, with its manifest.

    Shards of masks are hard-linked and take no extra room. The work store stays as it is. Masks
    have an attribute that tells of their images, since none of their arrays does.

    Parameters
    ----------
    marks
        Of all shards, whose files were compared with them: what is linked is not read again.
    check_unchanged
        Called before the store appears; raises if a file was replaced since that comparison.

    Raises
    ------
    StoreError
        If the work store is incomplete or damaged.
    """
    arrays = check_complete(work)
    coordinates = [name for name, spec in work.specs.items() if spec.is_coordinate]
    linked = [name for name, spec in work.specs.items() if spec.chunking == "objects"]
    with whole_folder(target) as partial:
        group = create_store(
            partial,
            work.kind,
            sizes_of(work, arrays),
            signature=work.signature,
            coords={name: _read(work, arrays[name], slice(None)) for name in coordinates},
            shard_objects=work.shard_objects,
        )
        if "images_sha256" not in work.specs:
            group.update_attributes({IMAGES: images_digest(_images(marks))})
        for name, spec in work.specs.items():
            if name in linked:
                _link(work.path / name, partial / name, arrays[name])
            elif spec.chunking == "marks":
                write_array(group, name, spec, _of_shards(name, marks))
            elif name not in coordinates:
                _copy(work, arrays[name], group, name)
        write_manifest(partial, _records(work, linked, marks))
        check_unchanged()


def _of_shards(name: str, marks: Sequence[Mark]) -> np.ndarray | list[str]:
    """Values of an array of marks."""
    return np.ones(len(marks), bool) if name == "done" else _images(marks)


def _images(marks: Sequence[Mark]) -> list[str]:
    return [mark.images_sha256 for mark in marks]


def _records(work: Store, names: Sequence[str], marks: Sequence[Mark]) -> dict[str, FileRecord]:
    """Records of the files of some arrays, by their names in the store."""
    prefix = f"{work.path.name}/"
    files = {name: record for mark in marks for name, record in mark.files.items()}
    own = {name.removeprefix(prefix): r for name, r in files.items() if name.startswith(prefix)}
    return {name: record for name, record in own.items() if name.split("/")[0] in names}


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
