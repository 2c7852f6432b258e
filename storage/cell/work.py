"""Work folders: where cells are made, one folder a signature."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.errors import StoreError
from storage.store.inspection import open_store
from storage.store.signature import compare

PUBLISHED: Final = "published"
"""Marker file of a work folder whose stores stand in the outputs."""

LOCK: Final = "lock"
"""File that whoever works in a work folder holds; it stays."""

RECORDED_AFTER_S: Final = 3600.0
"""Age at which published work may go: until DVC has recorded the outputs it may be asked again."""

NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
"""What file systems without locks say; there, DVC's own lock has to do."""


@dataclass(frozen=True)
class Unfinished:
    """Work of the same cell under other settings, and the settings that differ."""

    path: Path
    difference: str

    def __str__(self) -> str:
        return f"unfinished work under other settings is kept in {self.path} ({self.difference})"


def is_work_folder(folder: Path) -> bool:
    """Whether a cell is made in a folder, or was."""
    return (folder / LOCK).exists()


def lock_folder(folder: Path) -> int:
    """Lock a work folder for this process; closing the handle, or dying, frees it.

    Raises
    ------
    StoreError
        If another process holds it.
    FileNotFoundError
        If the folder is not there, or was swept meanwhile.
    """
    path = folder / LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise StoreError(f"{folder} must have one writer at a time, got a second one") from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            os.close(handle)
            raise
    try:
        is_there = os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        is_there = False
    if not is_there:
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return handle


def remove_partial(folder: Path) -> None:
    """Remove what a kill has left of files and stores that were being written."""
    for path in list(folder.rglob("*.partial")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # it lay in a folder that is gone


def find_unfinished(folder: Path, signature: Mapping[str, object]) -> tuple[Unfinished, ...]:
    """Unpublished work beside a work folder, and how its settings differ from ``signature``."""
    found = []
    for other in sorted(folder.parent.iterdir()):
        store_path = other / "features.zarr"
        if other == folder or (other / PUBLISHED).exists() or not store_path.exists():
            continue
        try:
            difference = compare(open_store(store_path).signature, signature)
        except StoreError as error:
            difference = str(error)
        found.append(Unfinished(other, difference or "settings that no longer exist"))
    return tuple(found)


def sweep(work: Path, *, keep: Path) -> list[Path]:
    """Remove the work of all cells but one that was published ``RECORDED_AFTER_S`` ago.

    Parameters
    ----------
    work
        Folder of all cells, ``cache/work``.
    keep
        Folder of the cell that is about to be worked on, ``cache/work/<split>/<model>/<view>``:
        if its output was lost before it was recorded, it is published again from there.

    Returns
    -------
    The folders that are gone. Unfinished work stays, and so does work that another process is at,
    or that cannot be removed.
    """
    removed = []
    for marker in sorted(work.glob(f"*/*/*/*/{PUBLISHED}")):
        folder = marker.parent
        if folder.parent == keep:
            continue
        # Another cell, on another node perhaps, may be sweeping too, or the folder be another
        # user's: no reason for this cell to fail.
        with suppress(StoreError, OSError):
            if time.time() - marker.stat().st_mtime < RECORDED_AFTER_S:
                continue
            handle = lock_folder(folder)
            try:
                # Renamed first: a half-removed folder would pass for unfinished work.
                folder.rename(folder.with_name(f".{folder.name}.removed"))
            finally:
                os.close(handle)
            removed.append(folder)
    for gone in work.glob("*/*/*/.*.removed"):
        shutil.rmtree(gone, ignore_errors=True)
    return removed
