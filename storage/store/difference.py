"""What is the same in two stores, and what differs by how much."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.errors import StoreError, shown
from storage.files.files import Files
from storage.files.manifest import Manifest
from storage.store.arrays import array_grid, read_arrays
from storage.store.inspection import AnyArray, Store, open_store
from storage.store.signature import change


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
    stores = _published(one), _published(other)
    if stores[0].kind != stores[1].kind:
        raise StoreError(f"{stores[1]} must be of kind {stores[0].kind}, got {stores[1].kind}")
    return [*_signatures(*stores), *_arrays(*stores)]


def _published(where: str | Path | Files) -> Store:
    store = open_store(where)
    if store.layout == "work":
        raise StoreError(f"{store} must be a published store, got one in the making")
    return store


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
