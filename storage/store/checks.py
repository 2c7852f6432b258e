"""Finds stores in a folder, checks a store's files against its manifest, compares two stores."""

import os
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from storage.errors import N_HEX, StoreError
from storage.files.manifest import FILE, ROOT, Manifest
from storage.store.inspection import AnyArray, Store, open_store
from storage.store.signature import change


def find_stores(path: Path) -> list[Path]:
    """List the store at ``path``, or all stores below it; a StoreError if there is none.

    A store is a folder with a ``zarr.json`` or whose name ends in ``.zarr``, or ``path`` itself if
    it is a zipped store. Hidden folders, which are unfinished stores, are skipped.
    """
    stores = [path] if is_zipfile(path) else []
    for folder, below, files in os.walk(path):
        # A name is enough: in a store that lost its ``zarr.json``, each array looks like a store.
        if ROOT in files or folder.endswith(".zarr"):
            stores.append(Path(folder))
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
    if not stores:
        raise StoreError(f"{path} must be a store or hold some, got none")
    return stores


def damaged_files(where: str | Path, *, sizes_only: bool = False) -> dict[str, str]:
    """Find the files of a store that differ from its manifest.

    The fault of each damaged file is by the file's name, in the order of the schema, then that of
    each file that the manifest does not list; empty for an intact store. With ``sizes_only``, only
    the sizes of files are compared, which finds missing and truncated files. Raises a StoreError if
    the store is missing, or its metadata are so damaged that no array can be read.
    """
    store = open_store(where)
    order = {array: place for place, array in enumerate(store.arrays)}
    names = sorted(store.manifest, key=lambda name: order.get(name.rpartition("/")[0], -1))
    sizes = store.files.sizes(names)
    reasons = {name: _fault(store, name, sizes.get(name), sizes_only=sizes_only) for name in names}
    reasons |= dict.fromkeys(_strays(store), "not in the manifest")
    return {name: reason for name, reason in reasons.items() if reason}


def _fault(store: Store, name: str, size: int | None, *, sizes_only: bool) -> str:
    """Describe the fault of a file that the manifest lists; empty text if the file is intact.

    ``size`` is None if the file is missing. With ``sizes_only``, the content is not compared with
    its digest.
    """
    listed = store.manifest[name]
    if size is None:
        return "missing"
    if size != listed.n_bytes:
        return f"{listed.n_bytes} bytes -> {size}"
    if sizes_only:
        return ""
    try:
        present = store.files.record(name)
    except StoreError as error:  # raised for a checksum in a ZIP archive
        return str(error)
    if present == listed:
        return ""
    return f"sha256 {listed.sha256[:N_HEX]} -> {present.sha256[:N_HEX]}"


def _strays(store: Store) -> list[str]:
    """Names of a store's files that its manifest does not list; none for a web server."""
    # Web servers do not list files.
    if store.files.where.startswith(("http://", "https://")):
        return []
    return [name for name in store.files.names() if name not in {*store.manifest, FILE}]


def differences_of(first: str | Path, second: str | Path) -> dict[str, str]:
    """Describe how two stores of the same kind differ.

    Each difference is by ``signature.<key>`` or by the name of the array; empty if the stores are
    equal. Arrays whose files have the same digests in both manifests are equal, and are not read.
    Raises a StoreError if a store is missing or its metadata are damaged, the kinds differ, or a
    chunk file that must be read is missing or differs from its manifest.
    """
    stores = open_store(first), open_store(second)
    if stores[0].kind != stores[1].kind:
        raise StoreError(f"{stores[1]} must be of kind {stores[0].kind}, got {stores[1].kind}")
    return {**_signatures(*stores), **_arrays(*stores)}


def _signatures(first: Store, second: Store) -> dict[str, str]:
    keys = sorted(first.signature.keys() | second.signature.keys())
    pairs = {key: [store.signature.get(key, "none") for store in (first, second)] for key in keys}
    return {f"signature.{key}": change(old, new) for key, (old, new) in pairs.items() if old != new}


def _arrays(first: Store, second: Store) -> dict[str, str]:
    names = (
        name
        for name in {**first.specs, **second.specs}
        if _files(first.manifest, name) != _files(second.manifest, name)
    )
    changes = {name: _values(first.arrays.get(name), second.arrays.get(name)) for name in names}
    return {name: text for name, text in changes.items() if text}


def _files(manifest: Manifest, array: str) -> dict[str, object]:
    return {name: record for name, record in manifest.items() if name.startswith(f"{array}/")}


def _values(old: AnyArray | None, new: AnyArray | None) -> str:
    """Describe how two arrays differ: number of rows and, for numbers, largest difference.

    An array that is None is missing. If shapes differ, they alone are described. The text is empty
    if no row differs; NaN equals NaN.
    """
    if old is None or new is None:  # an optional array
        return "none -> there" if old is None else "there -> none"
    if old.shape != new.shape:
        return f"shape {_text(old.shape)} -> {_text(new.shape)}"
    n_rows, largest = 0, 0.0
    step = (old.shards or old.chunks)[0]
    for start in range(0, old.shape[0], step):
        rows = slice(start, start + step)
        before, after = np.asarray(old[rows]), np.asarray(new[rows])
        is_number = np.issubdtype(before.dtype, np.number)
        differs = before != after
        if np.issubdtype(before.dtype, np.floating):
            differs &= ~(np.isnan(before) & np.isnan(after))
        n_rows += int(differs.reshape(len(before), -1).any(axis=1).sum())
        if is_number and differs.any():
            gaps = np.abs(before[differs].astype(np.float64) - after[differs].astype(np.float64))
            largest = max(largest, float(np.nanmax(gaps, initial=0.0)))
    if not n_rows:
        return ""
    by = f", by at most {largest:.3g}" if largest else ""
    return f"{n_rows} of {old.shape[0]} rows differ{by}"


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
