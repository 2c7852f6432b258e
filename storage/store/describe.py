"""Describes a store, or the differences between two, in text."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from storage.errors import StoreError, shown
from storage.files.files import Files
from storage.files.manifest import ROOT, Manifest
from storage.store.inspection import AnyArray, Store, open_store
from storage.store.opening import array_grid, file_faults, read_arrays, sizes_of
from storage.store.signature import change


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


@dataclass(frozen=True)
class Difference:
    """One thing that differs, and how."""

    what: str
    how: str


def differences_of(one: str | Path | Files, other: str | Path | Files) -> list[Difference]:
    """How two published stores of a kind differ: their signatures, then their arrays.

    Arrays whose files have the same digests in both manifests are not read.

    Raises
    ------
    StoreError
        If one is no published store, both are not of one kind, or a chunk that must be read is
        damaged.
    """
    stores = open_store(one), open_store(other)
    if stores[0].kind != stores[1].kind:
        raise StoreError(f"{stores[1]} must be of kind {stores[0].kind}, got {stores[1].kind}")
    return [*_signatures(*stores), *_arrays(*stores)]


def _signatures(one: Store, other: Store) -> Iterator[Difference]:
    for key in sorted(one.signature.keys() | other.signature.keys()):
        old, new = (store.signature.get(key, "none") for store in (one, other))
        if old != new:
            yield Difference(f"signature.{key}", change(old, new, shown))


def _arrays(one: Store, other: Store) -> Iterator[Difference]:
    arrays = read_arrays(one), read_arrays(other)
    for name in one.specs:
        if _files(one.manifest, name) == _files(other.manifest, name):
            continue
        old, new = (found[name] for found in arrays)
        how = (
            _values(old, new)
            if old.shape == new.shape
            else f"shape {_text(old.shape)} -> {_text(new.shape)}"
        )
        if how is not None:
            yield Difference(name, how)


def _files(manifest: Manifest, array: str) -> dict[str, object]:
    return {name: record for name, record in manifest.items() if name.startswith(f"{array}/")}


def _values(old: AnyArray, new: AnyArray) -> str | None:
    """How many rows of an array differ and, for numbers, by how much; None if none does."""
    n_rows, largest = 0, 0.0
    step = array_grid(old).file_shape[0]
    for start in range(0, old.shape[0], step):
        rows = slice(start, start + step)
        one, other = np.asarray(old[rows]), np.asarray(new[rows])
        is_number = np.issubdtype(one.dtype, np.number)
        differs = one != other
        if np.issubdtype(one.dtype, np.floating):
            differs &= ~(np.isnan(one) & np.isnan(other))
        n_rows += int(differs.reshape(len(one), -1).any(axis=1).sum())
        if is_number and differs.any():
            gaps = np.abs(one[differs].astype(np.float64) - other[differs].astype(np.float64))
            largest = max(largest, float(np.nanmax(gaps, initial=0.0)))
    if not n_rows:
        return None
    by = f", by at most {largest:.3g}" if largest else ""
    return f"{n_rows} of {old.shape[0]} rows differ{by}"


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
