"""Claims of shards: they save that two processes do the same one, and nothing depends on them.

A claim is taken over when its heart stops: when it has not changed over a while of the watcher's
own monotonic clock. Clocks of hosts are never compared; they may differ by minutes.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Final

from storage.folders import named_disk_errors
from storage.writers import Writer, this_writer

FOLDER: Final = "claims"
"""Folder in a work folder, one file per claimed shard inside."""

BEAT_S: Final = 5.0
"""Time between two beats of a heart."""

SILENT_S: Final = 60.0
"""Time without a beat after which a claim counts as left; file systems of clusters show a change
some seconds late."""


class Claims:
    """The shards of a cell that this process is at, told to others by a beating heart."""

    def __init__(self, folder: Path, *, beat_s: float = BEAT_S) -> None:
        self._folder = folder / FOLDER
        self._beat_s = beat_s
        self._held: dict[int, int] = {}
        self._lock = Lock()
        self._ended = Event()
        self._heart: Thread | None = None

    def take(self, shard: int) -> bool:
        """Claim a shard; False if another claim is there whose process may live."""
        path = self._folder / f"{shard}.json"
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            with suppress(FileExistsError), named_disk_errors(path):
                self._hold(shard, os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                return True
            holder = read_claim(path)
            if holder is None or not holder.is_gone():
                return False
            path.unlink(missing_ok=True)
        return False

    def release(self, shard: int) -> None:
        """Give a claim back."""
        with self._lock:
            handle = self._held.pop(shard, None)
        if handle is None:
            return
        path = self._folder / f"{shard}.json"
        # It may have been taken over: the claim of another stays.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                path.unlink()
        os.close(handle)

    def close(self) -> None:
        """Give all claims back."""
        self._ended.set()
        for shard in list(self._held):
            self.release(shard)
        if self._heart is not None:
            self._heart.join()

    def __enter__(self) -> "Claims":  # noqa: PYI034 - beartype refuses Self here
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _hold(self, shard: int, handle: int) -> None:
        with self._lock:
            self._held[shard] = handle
            _write_beat(handle, 0)
            if self._heart is None:
                self._heart = Thread(target=self._beat, daemon=True)
                self._heart.start()

    def _beat(self) -> None:
        n_beats = 0
        while not self._ended.wait(self._beat_s):
            n_beats += 1
            with self._lock:
                for handle in self._held.values():
                    # A full disk stops no heart for good, and no work.
                    with suppress(OSError):
                        _write_beat(handle, n_beats)


class Watch:
    """Claims as this process saw them first, to tell those whose heart has stopped."""

    def __init__(
        self, *, silent_s: float = SILENT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._silent_s = silent_s
        self._clock = clock
        self._seen: dict[Path, tuple[bytes, float]] = {}

    def living(self, folder: Path) -> set[int]:
        """Shards of a cell that others are at; claims of the dead and the silent are removed."""
        return {shard for shard, path in _claims(folder) if not self._is_left(path)}

    def _is_left(self, path: Path) -> bool:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return True
        known, since = self._seen.get(path, (None, 0.0))
        holder = read_claim(path)
        if content != known:
            self._seen[path] = (content, self._clock())
            is_silent = False
        else:
            is_silent = self._clock() - since >= self._silent_s
        if is_silent or (holder is not None and holder.is_gone()):
            path.unlink(missing_ok=True)
            self._seen.pop(path, None)
            return True
        return False


def read_claim(path: Path) -> Writer | None:
    """Who holds a claim; None if it is gone, or not written yet."""
    try:
        values = json.loads(path.read_bytes().rstrip(b"\0"))
        return Writer(**values["writer"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _claims(folder: Path) -> list[tuple[int, Path]]:
    found = sorted((folder / FOLDER).glob("*.json"))
    return [(int(path.stem), path) for path in found if path.stem.isdecimal()]


def _write_beat(handle: int, n_beats: int) -> None:
    """In place: file systems of clusters may show the old file behind a new name for a minute."""
    values = {"writer": asdict(this_writer()), "beat": f"{n_beats:012}"}
    os.pwrite(handle, f"{json.dumps(values)}\n".encode(), 0)
    os.fsync(handle)
