"""Folders that appear whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Build a folder beside ``path`` and rename it into place when the block ends well.

    A folder that stands at ``path`` is replaced. A build that was killed leaves a hidden
    ``.partial`` folder, which the next build of the same path removes.
    """
    partial = path.with_name(f".{path.name}.partial")
    former = path.with_name(f".{path.name}.former.partial")
    for leftover in (partial, former):
        shutil.rmtree(leftover, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with named_disk_errors(path):
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        # A folder cannot be renamed over one that holds something.
        if path.exists():
            path.rename(former)
        partial.rename(path)
    shutil.rmtree(former, ignore_errors=True)


@contextmanager
def named_disk_errors(path: Path) -> Iterator[None]:
    """Name the path in errors of the disk, which are silent on it when a write fails."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        reason = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, reason, str(path)) from error


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, at no cost; copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def flush(paths: Iterable[Path]) -> None:
    """Wait until files, and their names, are on the disk."""
    files = list(paths)
    for path in [*files, *sorted({file.parent for file in files})]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
