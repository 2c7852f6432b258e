"""Describes a store for people."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

from storage.errors import StoreError
from storage.files.manifest import ROOT
from storage.store.inspection import AnyArray, Store, open_store
from storage.store.opening import array_grid, file_faults, read_arrays, sizes_of


@dataclass(frozen=True)
class ArrayDescription:
    """One array; files and bytes as the manifest has them."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    file_shape: tuple[int, ...]
    n_files: int
    size_bytes: int


@dataclass(frozen=True)
class StoreDescription:
    """A store.

    Attributes
    ----------
    missing
        Files that should be there, as ``<array>/<key>``.
    """

    where: str | Path
    kind: str
    sizes: Mapping[str, int]
    arrays: tuple[ArrayDescription, ...]
    signature: Mapping[str, object]
    missing: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays on disk."""
        return sum(array.size_bytes for array in self.arrays)

    @property
    def object_bytes(self) -> float:
        """Bytes per object on disk."""
        return self.size_bytes / self.sizes["object"]


def describe(where: str | Path) -> StoreDescription:
    """Read a store's metadata and the sizes of its files.

    Raises
    ------
    StoreError
        If there is no store at ``where``, or its metadata are damaged.
    """
    store = open_store(where)
    arrays = read_arrays(store)
    return StoreDescription(
        where=where,
        kind=store.kind,
        sizes=sizes_of(store, arrays),
        arrays=tuple(_described(store, name, arrays[name]) for name in store.specs),
        signature=store.signature,
        missing=tuple(file_faults(store)[0]),
    )


def _described(store: Store, name: str, array: AnyArray) -> ArrayDescription:
    spec = store.specs[name]
    files = [
        record.n_bytes
        for file, record in store.manifest.items()
        if file.startswith(f"{name}/") and not file.endswith(ROOT)
    ]
    return ArrayDescription(
        name, spec.dims, spec.dtype, array_grid(array).file_shape, len(files), sum(files)
    )


def find_stores(path: Path) -> list[Path]:
    """The store at ``path``, or all below it; hidden folders are unfinished and skipped.

    A zipped store is found only by its own path.

    Raises
    ------
    StoreError
        If there is none.
    """
    found = [path] if is_zipfile(path) else []
    for folder, below, files in os.walk(path):
        # By its name, too: without its own file, each of its arrays would be taken for a store.
        if ROOT in files or folder.endswith(".zarr"):
            found.append(Path(folder))
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
    if not found:
        raise StoreError(f"{path} must be a store or hold some, got none")
    return found
