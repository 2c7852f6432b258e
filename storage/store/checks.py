"""Finds stores in a folder, and checks a store's files against its manifest."""

import os
from pathlib import Path

from storage.errors import N_HEX, StoreError
from storage.files.manifest import FILE, ROOT
from storage.store.inspection import Store, open_store


def find_stores(path: Path) -> list[Path]:
    """List the store at ``path``, or all stores below it; a StoreError if there is none.

    A store is a folder with a ``zarr.json`` or whose name ends in ``.zarr``. Hidden folders, which
    are unfinished stores, are skipped.
    """
    stores = []
    for folder, below, files in os.walk(path):
        # A name is enough: in a store that lost its ``zarr.json``, each array looks like a store.
        if ROOT in files or folder.endswith(".zarr"):
            stores.append(Path(folder))
            below.clear()
        below[:] = sorted(name for name in below if not name.startswith("."))
    if not stores:
        raise StoreError(f"{path} must be a store or hold some, got none")
    return stores


def damaged_files(where: str | Path) -> dict[str, str]:
    """Find the files of a store that differ from its manifest.

    The fault of each damaged file is by the file's name, in the order of the schema, then that of
    each file that the manifest does not list; empty for an intact store. Raises a StoreError if
    the store is missing, or its metadata are so damaged that no array can be read.
    """
    store = open_store(where)
    order = {array: place for place, array in enumerate(store.arrays)}
    names = sorted(store.manifest, key=lambda name: order.get(name.rpartition("/")[0], -1))
    sizes = store.files.sizes(names)
    reasons = {name: _fault(store, name, sizes.get(name)) for name in names}
    reasons |= dict.fromkeys(_strays(store), "not in the manifest")
    return {name: reason for name, reason in reasons.items() if reason}


def _fault(store: Store, name: str, size: int | None) -> str:
    """Describe the fault of a file that the manifest lists; empty text if the file is intact.

    ``size`` is None if the file is missing.
    """
    listed = store.manifest[name]
    if size is None:
        return "missing"
    if size != listed.n_bytes:
        return f"{listed.n_bytes} bytes -> {size}"
    present = store.files.record(name)
    if present == listed:
        return ""
    return f"sha256 {listed.sha256[:N_HEX]} -> {present.sha256[:N_HEX]}"


def _strays(store: Store) -> list[str]:
    """Names of a store's files that its manifest does not list; none for a web server."""
    # Web servers do not list files.
    if store.files.where.startswith(("http://", "https://")):
        return []
    return [name for name in store.files.names() if name not in {*store.manifest, FILE}]
