"""A store as one file: a ZIP without compression, which zarr's ``ZipStore`` opens as it is."""

import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from zarr.storage import ZipStore

from storage.errors import StoreError
from storage.files.manifest import FILE, FileRecord, copy_recorded
from storage.folders import whole_file, whole_folder
from storage.store.inspection import Store, open_store

FIRST_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest that a ZIP can say: the same store gives the same bytes."""


def pack(path: Path, target: Path, advance: Callable[[int], None] = lambda _: None) -> None:
    """Write a published store, its manifest included, to one file.

    Parameters
    ----------
    advance
        Called with the number of files just packed.

    Raises
    ------
    StoreError
        If the store is damaged, in the making or not in a folder; or if ``target`` is one, or in
        the store.
    """
    store = _published(path)
    if store.files.folder is None:
        raise StoreError(f"{path} must be a folder to be packed, got a file")
    if target.is_dir():
        raise StoreError(f"{target} must be the name of a file to pack to, got a folder")
    if target.resolve().is_relative_to(path.resolve()):
        raise StoreError(f"{target} must lie outside of the store, got a place in {path}")
    with whole_file(target) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name in _names(store):
            entry = zipfile.ZipInfo(name, FIRST_DATE)
            with (
                (store.path / name).open("rb") as source,
                archive.open(entry, "w", force_zip64=True) as copy,
            ):
                _check(store, name, copy_recorded(source.read, copy.write))
            advance(1)


def unpack(path: Path, target: Path, advance: Callable[[int], None] = lambda _: None) -> None:
    """Write the store in an archive to a folder, which appears whole or not at all.

    Raises
    ------
    StoreError
        If there is something at ``target``, or the archive is damaged or holds no store.
    """
    if target.exists():
        raise StoreError(f"{target} must not exist before a store is unpacked to it, got something")
    store = _published(path)
    if not isinstance(store.files.target, ZipStore):
        raise StoreError(f"{path} must be an archive, got a folder")
    with whole_folder(target) as partial, zipfile.ZipFile(path) as archive:
        for name in _names(store):
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                with archive.open(name) as source, (partial / name).open("wb") as copy:
                    _check(store, name, copy_recorded(source.read, copy.write))
            except zipfile.BadZipFile as error:
                raise StoreError(f"{path}/{name} must be intact, got: {error}") from error
            advance(1)


def _published(path: Path) -> Store:
    store = open_store(path)
    if store.layout == "work":
        raise StoreError(f"{path} must be a published store, got one in the making")
    return store


def _names(store: Store) -> list[str]:
    """Files of a store, in the order of an archive.

    Raises
    ------
    StoreError
        If one would lie outside the folder that it is unpacked to.
    """
    for name in store.manifest:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise StoreError(f"{store}: names of files must stay in the store, got {name}")
    return [*sorted(store.manifest), FILE]


def _check(store: Store, name: str, found: FileRecord) -> None:
    if name != FILE and found != (wanted := store.manifest[name]):
        raise StoreError(
            f"{store}/{name} must have {wanted.n_bytes} bytes with sha256 {wanted.sha256[:12]}, "
            f"got {found.n_bytes} with {found.sha256[:12]}"
        )
