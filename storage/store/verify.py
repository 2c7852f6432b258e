"""Checks every file of a store against its manifest."""

from dataclasses import dataclass
from pathlib import Path

from storage.errors import StoreError
from storage.files.files import Files
from storage.files.manifest import FILE, N_HEX
from storage.store.inspection import Store, open_store
from storage.store.opening import read_arrays


@dataclass(frozen=True)
class Damage:
    """What is wrong with one file of a store."""

    array: str
    key: str
    reason: str


def verify(where: str | Path | Files, *, sizes_only: bool = False) -> list[Damage]:
    """Check every file of a store against its manifest.

    Parameters
    ----------
    sizes_only
        Ask for the size of each file, read none: finds what is missing or cut short.

    Returns
    -------
    Files that are missing or not as the manifest says, in the order of the schema; files that it
    does not list.

    Raises
    ------
    StoreError
        If the metadata are damaged, so that no array can be trusted.
    """
    store = open_store(where)
    order = {array: place for place, array in enumerate(read_arrays(store))}
    names = sorted(store.manifest, key=lambda name: order.get(_array_and_key(name)[0], -1))
    sizes = store.files.sizes(names)
    reasons = {name: _fault(store, name, sizes.get(name), sizes_only=sizes_only) for name in names}
    reasons |= dict.fromkeys(_strays(store), "not in the manifest")
    return [Damage(*_array_and_key(name), reason) for name, reason in reasons.items() if reason]


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


def _array_and_key(name: str) -> tuple[str, str]:
    """Array and key of a file; for those of the store itself, ``metadata`` and the name."""
    array, _, key = name.rpartition("/")
    return array or "metadata", key


def _strays(store: Store) -> list[str]:
    """Files that are not in the manifest."""
    # Web servers list nothing.
    if store.files.where.startswith(("http://", "https://")):
        return []
    known = {*store.manifest, FILE}
    return [name for name in store.files.names() if name not in known]
