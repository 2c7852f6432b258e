"""Holds every file of a store to its manifest."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.errors import StoreError
from storage.files.files import Files
from storage.files.manifest import FILE, N_HEX, FileRecord
from storage.store.arrays import read_arrays
from storage.store.inspection import Store, open_store


@dataclass(frozen=True)
class Damage:
    """What is wrong with one file of a store."""

    array: str
    key: str
    reason: str


def verify(
    where: str | Path | Files,
    advance: Callable[[int], None] | None = None,
    *,
    sizes_only: bool = False,
) -> list[Damage]:
    """Hold every file of a store to its manifest.

    Parameters
    ----------
    advance
        Called with the number of files just looked at, out of ``n_files``.
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
    arrays = read_arrays(store)
    damages: list[Damage] = []
    for found in _look_at_files(store, arrays, sizes_only=sizes_only):
        damages += found
        if advance is not None:
            advance(1)
    return damages + [
        Damage(*_array_and_key(name), "not in the manifest") for name in _strays(store)
    ]


def n_files(where: str | Path | Files) -> int:
    """Number of files that ``verify`` will look at."""
    return len(open_store(where).manifest)


def _look_at_files(
    store: Store, arrays: Collection[str], *, sizes_only: bool
) -> Iterator[list[Damage]]:
    """Damage of each file of the manifest, if there is any."""
    sizes = store.files.sizes(store.manifest)
    order = {name: place for place, name in enumerate(arrays)}
    for name in sorted(store.manifest, key=lambda name: order.get(_array_and_key(name)[0], -1)):
        record = store.manifest[name]
        if name not in sizes:
            reason: str | None = "missing"
        elif sizes[name] != record.n_bytes:
            reason = f"{record.n_bytes} bytes -> {sizes[name]}"
        else:
            reason = None if sizes_only else _difference(store.files, name, record)
        yield [] if reason is None else [Damage(*_array_and_key(name), reason)]


def _difference(files: Files, name: str, wanted: FileRecord) -> str | None:
    """How the content of a file differs from its record; None if it does not."""
    try:
        found = files.record(name)
    except StoreError as error:  # an archive's own checksum
        return str(error)
    if found == wanted:
        return None
    return f"sha256 {wanted.sha256[:N_HEX]} -> {found.sha256[:N_HEX]}"


def _array_and_key(name: str) -> tuple[str, str]:
    """Array and key of a file; for those of the store itself, ``metadata`` and the name."""
    array, _, key = name.rpartition("/")
    return array or "metadata", key


def _strays(store: Store) -> list[str]:
    """Files that no manifest tells of."""
    # Servers of the web list nothing.
    if store.files.where.startswith(("http://", "https://")):
        return []
    known = {*store.manifest, FILE}
    return [name for name in store.files.names() if name not in known]
