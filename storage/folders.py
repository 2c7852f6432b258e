"""Writes files and folders whole or not at all; all stages write their outputs by this module.

A file or folder is written under a temporary name that no other process uses, and renamed when it
is finished. So any number of processes may write the same output at the same time.
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from storage.errors import DataError

SUFFIX: Final = ".partial"
"""Suffix of unfinished files and folders; DVC and git ignore them."""

MARK: Final = f".begun{SUFFIX}"
"""Suffix of a mark: a file that says that another file is being written, and holds a process tag.
"""

BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE: Final = Path("/proc/self/ns/pid")
"""Files in which Linux names the boot, and the namespace in which process numbers are unique."""

TAG: Final = re.compile(r"([0-9a-f]{8})-(\d+)-[0-9a-f]{8}")
"""Pattern of the tag in a temporary name: machine, process number and random digits."""

TAKEN: Final = (errno.ENOTEMPTY, errno.EEXIST)
"""Error numbers of renaming a folder to a name that another folder has."""

_N_FIRST_BYTES: Final = 2**16
"""Number of first bytes by which ``check_output`` recognises a file."""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
"""Arguments of Linux's ``renameat2``, from ``fcntl.h`` and ``linux/fs.h``."""


def is_special(path: Path) -> bool:
    """Whether a path is a pipe, a device or a socket: a program that reads it may wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, for the block to write a file there.

    When the block succeeds, the file is renamed to ``path``, where it replaces a file; when the
    block fails, it is removed. A kill leaves a hidden ``.partial`` file, which the next write to
    the same path on the same machine removes. The folder of ``path`` is made if it is missing.

    Raises
    ------
    IsADirectoryError
        If a folder is at ``path``, before the block begins.
    OSError
        If a pipe or a device is at ``path``, which the file would replace (a superuser's file even
        replaces ``/dev/null``); or if the file cannot be written. The error names the file.
    """
    _check_file(path)
    with _made(path) as partial:
        for leftover in _leftovers(path):
            leftover.unlink(missing_ok=True)
        yield partial


def check_output(path: Path, begins: re.Pattern[bytes], inputs: Iterable[Path] = ()) -> None:
    """Check before the work that ``whole_file`` can write ``path`` and replaces no other file.

    A user may name an image, a README or an input of the command as its output by mistake.

    Parameters
    ----------
    begins
        Matches the first bytes of each file that the command writes.
    inputs
        Files that the command reads.

    Raises
    ------
    DataError
        If a file is at ``path`` whose bytes do not begin so, or that is one of ``inputs``.
    OSError
        If ``whole_file`` would refuse ``path``, or if its folder cannot be made or written to.
    """
    _check_file(path)
    if path.exists():
        with path.open("rb") as file:
            first = file.read(_N_FIRST_BYTES)
        is_read = any(file.exists() and path.samefile(file) for file in inputs)
        if is_read or (first and not begins.match(first)):
            raise DataError(
                f"{path} must be a new file, or one that this command has written, got "
                f"{'one that it reads' if is_read else 'another'}: name another output"
            )
    with named_disk_errors(path):
        partial = _partial(path)
        partial.touch()
        partial.unlink()


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if is_special(path):
        raise OSError(errno.EINVAL, "must be a file, got a pipe or a device", str(path))


@contextmanager
def _made(path: Path, *, is_first: bool = False) -> Iterator[Path]:
    """Yield a temporary path; the file there is renamed to ``path`` when the block succeeds.

    With ``is_first``, a file that is already at ``path`` stays, if the disk has hard links.
    """
    partial = _partial(path)
    with named_disk_errors(path):
        try:
            yield partial
            # First the bytes, then the name: a loss of power may otherwise leave an empty file.
            _flush(partial)
            if not is_first or not _is_linked(partial, path):
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)  # removes a hard link, or a file that was not renamed
        _flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; a file already at ``path`` is replaced.

    Raises
    ------
    DataError
        If the text is not Unicode, as an argument of a command may be.
    """
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        fault = ascii(text[error.start : error.end])
        raise DataError(f"text of {path} must be Unicode, got {fault}") from error
    with whole_file(path) as partial:
        partial.write_bytes(encoded)


def write_lines(path: Path, lines: Collection[str]) -> None:
    """Write lines as a text file, whole or not at all; without lines, remove the file."""
    if lines:
        write_text(path, "".join(f"{line}\n" for line in lines))
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write indented JSON, whole or not at all; NaN and infinity raise a ValueError."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, for the block to make and fill a folder there.

    When the block succeeds, the folder is put at ``path``, where it replaces a folder; when the
    block fails, it is removed. A kill at any instant leaves the whole old or the whole new folder.
    Where the system cannot swap folders, a kill may leave the old folder under a hidden name; the
    next build puts it back. A killed build leaves a hidden ``.partial`` folder, which the next
    build of the same path on the same machine removes.
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
            for written in (partial, *partial.rglob("*")):
                # A link of a file outside: its bytes were flushed when they were written.
                if written.is_dir() or written.stat().st_nlink == 1:
                    _flush(written)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        is_placed = not path.exists() and _is_first(partial, path)
        if not is_placed and not _is_exchanged(partial, path):
            # A folder cannot be renamed over one that is not empty.
            path.rename(former)
            partial.rename(path)
        _flush(path.parent)
    for leftover in (partial, former):
        shutil.rmtree(leftover, ignore_errors=True)


def _is_first(partial: Path, path: Path) -> bool:
    """Rename a folder to ``path`` if that is free; False if another folder is there."""
    try:
        partial.rename(path)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        return False
    return True


@contextmanager
def passing_folder(path: Path) -> Iterator[Path]:
    """Make and yield a folder beside ``path`` that only its owner can read.

    It is removed after the block. A kill leaves the folder; the next block of the same path on the
    same machine removes it.
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
    """Write bytes to a file, whole or not at all; a file already at ``path`` is replaced.

    With ``is_first``, it stays instead, if the disk has hard links. Other hard links of a replaced
    file keep its bytes.
    """
    with _made(path, is_first=is_first) as partial:
        partial.write_bytes(data)


def _is_linked(partial: Path, path: Path) -> bool:
    """Hard-link ``partial`` to ``path``, unless a file is there; False if the link fails.

    It usually fails since the disk has no hard links.
    """
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def put_link(source: Path, target: Path) -> None:
    """Put a hard link to ``source``, or a whole copy, at ``target``; a file there is replaced."""
    with _made(target) as partial:
        link_or_copy(source, partial)


def begin_file(path: Path) -> Path | None:
    """Mark a file as being written, unless ``is_begun`` says that another process is writing it.

    The mark is a file beside ``path`` that the caller must remove; None if another process is
    writing.
    """
    if is_begun(path):
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = _mark(path)
    with named_disk_errors(path):
        mark.write_text(new_tag(), "utf-8")
    return mark


def is_begun(path: Path) -> bool:
    """Whether a file has a mark of a running process of this machine, or of another machine."""
    try:
        return not is_left(_mark(path).read_text("utf-8"))
    except FileNotFoundError:
        return False


def begun_files(folder: Path) -> set[str]:
    """Names of the files below a folder that are being written; empty if there is no folder.

    Unfinished files and marks that ended processes of this machine have left are removed, and marks
    of files that exist, whoever made them. So list the files of the folder afterwards: a file that
    was finished in between would be in neither list.
    """
    begun = set()
    with suppress(FileNotFoundError):
        for path in folder.rglob(f".*{SUFFIX}"):
            is_mark, name = path.name.endswith(MARK), path.name[1:].rsplit(".", 2)[0]
            with suppress(FileNotFoundError):  # its process has removed it meanwhile
                is_ended = is_left(path.read_text("utf-8") if is_mark else path.name)
                # Nobody knows whether a process of another machine lives, but its file is there.
                if is_ended or (is_mark and path.with_name(name).exists()):
                    path.unlink()
                else:
                    begun.add(name)
    return begun


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name}{MARK}")


def _leftovers(path: Path) -> list[Path]:
    """Unfinished versions of ``path`` that ended processes of this machine have left."""
    prefix = f".{path.name}."
    names = [entry.name for entry in os.scandir(path.parent) if entry.name.startswith(prefix)]
    return [path.with_name(name) for name in names if name.endswith(SUFFIX) and is_left(name)]


def _partial(path: Path) -> Path:
    """Make the parent folder of ``path``, and choose a temporary path beside ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{new_tag()}{SUFFIX}")


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Wait for and hold the lock of a folder, which is made if missing, during the block.

    The system releases the lock of a process that ends. On a disk without locks, nothing is locked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def new_tag() -> str:
    """Make a tag for a temporary file name; no other process or call gets the same tag."""
    return f"{_machine()}-{os.getpid()}-{uuid4().hex[:8]}"


def is_left(name: str) -> bool:
    """Whether a text, such as a file name, has the tag of an ended process of this machine."""
    tag = TAG.search(name)
    return tag is not None and tag[1] == _machine() and not _lives(int(tag[2]))


def _machine() -> str:
    names = [socket.gethostname()]
    with suppress(OSError):  # systems other than Linux: the host alone
        names += [BOOT.read_text(), os.readlink(NAMESPACE)]  # noqa: PTH115 - a link to no path
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # a process of another user
    return True


def _is_exchanged(first: Path, second: Path) -> bool:
    """Swap two paths atomically; False if the system cannot, an OSError if it fails otherwise.

    Python has no function for this, so the C library's ``renameat2`` is called. Systems other than
    Linux, and some network file systems, do not support it.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = (_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second))
    if rename(*names, _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))


@contextmanager
def named_disk_errors(path: Path) -> Iterator[None]:
    """Context that adds ``path`` to an ``OSError`` without a file: failed writes name none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        reason = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, reason, str(path)) from error


def sha256_file(path: Path) -> str:
    """Sha256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if that fails, as where a file system has no hard links.

    A link to the file that is already at ``target`` stays.
    """
    try:
        os.link(source, target)
    except OSError:
        if not (target.exists() and target.samefile(source)):
            shutil.copyfile(source, target)


def _flush(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
