"""Files and folders that appear whole or not at all: every output comes through here."""

import ctypes
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SUFFIX: Final = ".partial"
"""Suffix of files and folders in the making; DVC and git ignore them."""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
"""Linux constants, from ``fcntl.h`` and ``linux/fs.h``."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file beside ``path`` and rename it into place when the block succeeds.

    A file already at ``path`` is replaced. A kill leaves a hidden ``.partial`` file, which the next
    write to the same path replaces.
    """
    partial = _partial(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with named_disk_errors(path):
        try:
            yield partial
            # First the bytes, then the name: a loss of power may otherwise leave an empty file.
            flush([partial])
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(path)
        _flush_one(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Build a folder beside ``path`` and put it in place when the block succeeds.

    A folder already at ``path`` is replaced: a kill at any instant leaves the old one or the new
    one, whole. A build that was killed leaves a hidden ``.partial`` folder, which the next build of
    the same path removes.
    """
    partial = _partial(path)
    former = path.with_name(f".{path.name}.former{SUFFIX}")
    if former.exists() and not path.exists():  # killed between two renames
        former.rename(path)
    for leftover in (partial, former):
        shutil.rmtree(leftover, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with named_disk_errors(path):
        try:
            yield partial
            flush(file for file in partial.rglob("*") if file.is_file())
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if not path.exists():
            partial.rename(path)
        elif not _exchange(partial, path):
            # A folder cannot be renamed over one that is not empty.
            path.rename(former)
            partial.rename(path)
        _flush_one(path.parent)
    for leftover in (partial, former):
        shutil.rmtree(leftover, ignore_errors=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}{SUFFIX}")


def _exchange(one: Path, other: Path) -> bool:
    """Swap two paths atomically; False where the system cannot.

    Python has no call for it. Systems other than Linux, and some network file systems, cannot.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if rename(*names, _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


@contextmanager
def named_disk_errors(path: Path) -> Iterator[None]:
    """Add the path to disk errors, which do not name it when a write fails."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        reason = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, reason, str(path)) from error


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file; copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def flush(paths: Iterable[Path]) -> None:
    """Wait until files, and their names, are on disk."""
    files = list(paths)
    for path in [*files, *sorted({file.parent for file in files})]:
        _flush_one(path)


def _flush_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
