"""Writes files and folders whole or not at all; every output is written by it.

Each is made under a temporary name that no other process uses, so that any number of them may make
the same one.
"""

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

SUFFIX: Final = ".partial"
"""Suffix of unfinished files and folders; DVC and git ignore them."""

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE: Final = Path("/proc/self/ns/pid")
"""Where Linux tells of the boot, and of the processes that share their numbers."""

TAG: Final = re.compile(r"([0-9a-f]{8})-(\d+)-[0-9a-f]{8}")
"""Machine and process that write a file, in its temporary name."""

TAKEN: Final = (errno.ENOTEMPTY, errno.EEXIST)
"""Errors of renaming a folder to a name that another one has."""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
"""Linux constants, from ``fcntl.h`` and ``linux/fs.h``."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file beside ``path`` and rename it into place when the block succeeds.

    A file already at ``path`` is replaced. A kill leaves a hidden ``.partial`` file, which the next
    write to the same path on the same machine removes.

    Raises
    ------
    IsADirectoryError
        If a folder is at ``path``, before the block begins.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with _made(path) as partial:
        for leftover in _leftovers(path):
            leftover.unlink(missing_ok=True)
        yield partial


@contextmanager
def _made(path: Path, *, is_first: bool = False) -> Iterator[Path]:
    """A temporary name for a file, which gets its own when the block succeeds."""
    partial = _partial(path)
    with named_disk_errors(path):
        try:
            yield partial
            # First the bytes, then the name: a loss of power may otherwise leave an empty file.
            _flush_one(partial)
            if not is_first or not _is_linked(partial, path):
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)  # there where both names were of one file already
        _flush_one(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write readable JSON, keys in the given order, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Build a folder beside ``path`` and put it in place when the block succeeds.

    A folder already at ``path`` is replaced: a kill at any instant leaves the old one or the new
    one, whole. A build that was killed leaves a hidden ``.partial`` folder, which the next build of
    the same path on the same machine removes.
    """
    partial = _partial(path)
    former = path.with_name(f".{path.name}.former{SUFFIX}")
    if former.exists() and not path.exists():  # killed between two renames
        former.rename(path)
    for leftover in (*_leftovers(path), former):
        shutil.rmtree(leftover, ignore_errors=True)
    with named_disk_errors(path):
        try:
            yield partial
            for made in (partial, *partial.rglob("*")):
                _flush_one(made)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        is_placed = not path.exists() and _is_first(partial, path)
        if not is_placed and not _exchange(partial, path):
            # A folder cannot be renamed over one that is not empty.
            path.rename(former)
            partial.rename(path)
        _flush_one(path.parent)
    for leftover in (partial, former):
        shutil.rmtree(leftover, ignore_errors=True)


def _is_first(partial: Path, path: Path) -> bool:
    """Put a folder in a place that is free; False if it is not."""
    try:
        partial.rename(path)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        return False
    return True


@contextmanager
def passing_folder(path: Path) -> Iterator[Path]:
    """A new folder beside ``path``, readable by its owner alone and removed after the block.

    What a kill leaves goes with the next block of the same path on the same machine.
    """
    partial = _partial(path)
    partial.mkdir(mode=0o700)
    try:
        for leftover in _leftovers(path):
            shutil.rmtree(leftover, ignore_errors=True)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_file(path: Path, data: bytes, *, is_first: bool = False) -> None:
    """Make a file appear whole, whatever was at its place or is written there.

    What other links of a replaced file show stays as it was.

    Parameters
    ----------
    is_first
        Leave a file that is there already, where the file system has hard links to tell.
    """
    with _made(path, is_first=is_first) as partial:
        partial.write_bytes(data)


def _is_linked(partial: Path, path: Path) -> bool:
    """Give a file its name unless another has it; False where there are no hard links."""
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def put_link(source: Path, target: Path) -> None:
    """Make a hard link of a file, or a copy, appear whole, whatever was at its place."""
    with _made(target) as partial:
        link_or_copy(source, partial)


def begin_file(path: Path) -> Path:
    """Mark a file as being written by an empty one beside it; another process may be first.

    Returns
    -------
    The empty file, to be removed in the end.
    """
    partial = _partial(path)
    with named_disk_errors(path):
        partial.touch()
    return partial


def begun_files(folder: Path) -> set[str]:
    """Names of files that others are writing in a folder; removes marks of dead processes."""
    found = set()
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            if not entry.name.startswith(".") or not entry.name.endswith(SUFFIX):
                continue
            if is_left(entry.name):
                Path(entry).unlink(missing_ok=True)
            else:
                found.add(entry.name[1:].rsplit(".", 2)[0])
    return found


def _leftovers(path: Path) -> list[Path]:
    """Partial files or folders left by dead processes of this machine."""
    names = [entry.name for entry in os.scandir(path.parent)]
    own = [name for name in names if name.startswith(f".{path.name}.") and name.endswith(SUFFIX)]
    return [path.with_name(name) for name in own if is_left(name)]


def _partial(path: Path) -> Path:
    """A temporary name beside a path, in a folder that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{new_tag()}{SUFFIX}")


def new_tag() -> str:
    """Part of a file's name that no other process and no other call uses."""
    return f"{_machine()}-{os.getpid()}-{uuid4().hex[:8]}"


def is_left(name: str) -> bool:
    """Whether a file's name has the tag of a process of this machine that has ended."""
    found = TAG.search(name)
    return found is not None and found[1] == _machine() and not _lives(int(found[2]))


def _machine() -> str:
    known = [socket.gethostname()]
    with suppress(OSError):  # systems other than Linux: the host alone
        known += [BOOT.read_text(), os.readlink(NAMESPACE)]  # noqa: PTH115 - a link to no path
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:8]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    return True


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


def sha256_file(path: Path) -> str:
    """Sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file; copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _flush_one(path: Path) -> None:
    """Wait until a file or the names in a folder are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
