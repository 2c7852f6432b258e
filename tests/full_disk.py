"""Disks that become full, and the room made on them again."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MakeRoom = Callable[[], None]


def no_space(path: Path | None = None) -> OSError:
    """What Python raises; a failed write does not say where."""
    error = errno.ENOSPC, os.strerror(errno.ENOSPC)
    return OSError(*error) if path is None else OSError(*error, str(path))


@contextmanager
def full_at_fsync(is_full: Callable[[], bool]) -> Iterator[MakeRoom]:
    """A disk that tells of its lack of room when what was written is flushed."""
    flush = os.fsync

    def fsync(handle: int) -> None:
        if is_full():
            raise no_space()
        flush(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield patch.undo


@contextmanager
def full_at_write(place: Path, room_kb: int) -> Iterator[MakeRoom]:
    """A small file system at ``place``; skips the test where none may be mounted."""
    place.mkdir(parents=True)
    mount = ("mount", "-t", "tmpfs", "tmpfs", str(place), "-o")
    if subprocess.run([*mount, f"size={room_kb}k"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")

    def make_room() -> None:
        subprocess.run([*mount, f"remount,size={10 * room_kb}k"], check=True)

    try:
        yield make_room
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
