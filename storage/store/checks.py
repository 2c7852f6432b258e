"""Finds stores, checks one against its manifest, or compares two, for people."""

import os
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from storage.errors import N_HEX, StoreError
from storage.files.manifest import FILE, ROOT, Manifest
from storage.store.inspection import AnyArray, Store, open_store
from storage.store.signature import change


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


def damaged_files(where: str | Path, *, sizes_only: bool = False) -> dict[str, str]:
    """Check every file of a store against its manifest.

    Parameters
    ----------
    sizes_only
        Ask for the size of each file, read none: finds what is missing or cut short.

    Returns
    -------
    What is wrong with each file that is missing or not as the manifest says, in the order of the
    schema; then with files that it does not list.

    Raises
    ------
    StoreError
        If the metadata are damaged, so that no array can be trusted.
    """
    store = open_store(where)
    order = {array: place for place, array in enumerate(store.arrays)}
    names = sorted(store.manifest, key=lambda name: order.get(name.rpartition("/")[0], -1))
    sizes = store.files.sizes(names)
    reasons = {name: _fault(store, name, sizes.get(name), sizes_only=sizes_only) for name in names}
    reasons |= dict.fromkeys(_strays(store), "not in the manifest")
    return {name: reason for name, reason in reasons.items() if reason}


def _fault(store: Store, name: str, size: int | None, *, sizes_only: bool) -> str:
    """What is wrong with a file of the manifest; empty if nothing is."""
    wanted = store.manifest[name]
    if size is None:
        return "missing"
    if size != wanted.n_bytes:
        return f"{wanted.n_bytes} bytes -> {size}"
    if sizes_only:
        return ""
    try:
        found = store.files.record(name)
    except StoreError as error:  # an archive's own checksum
        return str(error)
    same = found == wanted
    return "" if same else f"sha256 {wanted.sha256[:N_HEX]} -> {found.sha256[:N_HEX]}"


def _strays(store: Store) -> list[str]:
    """Files that are not in the manifest."""
    # Web servers list nothing.
    if store.files.where.startswith(("http://", "https://")):
        return []
    known = {*store.manifest, FILE}
    return [name for name in store.files.names() if name not in known]


def differences_of(one: str | Path, other: str | Path) -> dict[str, str]:
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
    return {**_signatures(*stores), **_arrays(*stores)}


def _signatures(one: Store, other: Store) -> dict[str, str]:
    keys = sorted(one.signature.keys() | other.signature.keys())
    pairs = {key: [store.signature.get(key, "none") for store in (one, other)] for key in keys}
    return {f"signature.{key}": change(old, new) for key, (old, new) in pairs.items() if old != new}


def _arrays(one: Store, other: Store) -> dict[str, str]:
    names = (
        name
        for name in {**one.specs, **other.specs}
        if _files(one.manifest, name) != _files(other.manifest, name)
    )
    found = {name: _values(one.arrays.get(name), other.arrays.get(name)) for name in names}
    return {name: how for name, how in found.items() if how}


def _files(manifest: Manifest, array: str) -> dict[str, object]:
    return {name: record for name, record in manifest.items() if name.startswith(f"{array}/")}


def _values(old: AnyArray | None, new: AnyArray | None) -> str:
    """How many rows of an array differ and, for numbers, by how much; empty if none does."""
    if old is None or new is None:  # an optional array
        return "none -> there" if old is None else "there -> none"
    if old.shape != new.shape:
        return f"shape {_text(old.shape)} -> {_text(new.shape)}"
    n_rows, largest = 0, 0.0
    step = (old.shards or old.chunks)[0]
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
        return ""
    by = f", by at most {largest:.3g}" if largest else ""
    return f"{n_rows} of {old.shape[0]} rows differ{by}"


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
