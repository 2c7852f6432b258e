"""Watches which workers of a Dask scheduler can take tasks, and prints notes about the others."""

import sys
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any, Final

from distributed import Client

TIMEOUT_S: Final = 10
"""Longest wait, in seconds, for an answer of a scheduler."""

LOOK_S: Final = 5.0
"""Seconds between two checks of the workers."""

SILENT_S: Final = 30.0
"""Seconds without a worker's heartbeat before a note is printed; heartbeats are seconds apart."""

NOTE_S: Final = 30.0
"""Seconds between two notes that no worker is there."""

TTL: Final = "distributed.scheduler.worker-ttl"
"""Setting of a scheduler: wait for a worker's heartbeat, after which other workers get its task."""


class Watch:
    """Watches the workers of a scheduler; prints a note if a worker is unusable or none is there.

    A worker is usable if it sees the files of the driver, the process that sends the tasks.

    Parameters
    ----------
    kind
        Kind of the executor, for messages.
    mark
        Name of the Dask resource of workers that see the driver's files, and of the metric in which
        each worker reports its working folder.
    look_for
        Called at each check with the number of usable workers; returns text for the end of the note
        that workers are missing. It may raise ``ConnectionError`` if waiting is useless.
    """

    def __init__(
        self, client: Client, *, kind: str, mark: str, look_for: Callable[[int], str]
    ) -> None:
        self.client = client
        self._kind = kind
        self.mark = mark
        self._look_for = look_for
        self._looked = self._waited_since = -inf
        self._n_usable = 0
        self._heartbeats: dict[str, tuple[float, float]] = {}  # the scheduler's clock, then ours
        self._silent: set[str] = set()
        self._misplaced: set[str] = set()

    def n_usable(self) -> int:
        """Number of workers that see the driver's files; the last check is at most ``LOOK_S`` old.

        A check prints notes, and calls ``look_for``. Without an answer of the scheduler, the number
        is 0. A silent worker counts until the scheduler drops it.
        """
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            workers = self._workers()
            for address, worker in workers.items():
                self._check_heartbeat(address, worker["last_seen"], now)
            usable = [name for name in workers if self.mark in workers[name]["resources"]]
            for address in workers.keys() - usable:
                self._check_folder(address, workers[address]["metrics"].get(self.mark))
            self._n_usable = len(usable)
            self._note_wait(self._look_for(self._n_usable), now)
        return self._n_usable

    def _workers(self) -> dict[str, Any]:
        try:
            identity = self.client.scheduler.identity  # type: ignore[union-attr]
            answer = self.client.sync(identity, n_workers=-1, callback_timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
        except OSError:  # the scheduler is gone: waiting for the tasks raises the error
            return {}
        return dict(answer["workers"])

    def _check_heartbeat(self, address: str, heartbeat: float, now: float) -> None:
        if self._heartbeats.get(address, (None,))[0] != heartbeat:
            self._heartbeats[address] = heartbeat, now
        elif now - self._heartbeats[address][1] > SILENT_S and not (
            address in self._silent or address in self._misplaced
        ):
            self._silent.add(address)
            self._note(
                f"workers must answer within {SILENT_S:.0f} s, got nothing from {address}, which "
                "is stopped perhaps, or its disk; others do its task within twice its scheduler's "
                f"{TTL}, or once it is ended"
            )

    def _check_folder(self, address: str, folder: str | None) -> None:
        # None if the worker has not reported yet: it may have been named as silent before.
        if folder is not None and address not in self._misplaced:
            self._misplaced.add(address)
            rule = "start in" if folder != str(Path.cwd()) else "see the files of"
            self._note(f"workers must {rule} {Path.cwd()}, got {address} in {folder}")

    def _note(self, why: str) -> None:
        print(f"note: {why}", file=sys.stderr)

    def _note_wait(self, jobs: str, now: float) -> None:
        if self._n_usable:
            self._waited_since = now
        elif now - self._waited_since >= NOTE_S:
            print(f"note: waiting for workers of {self._kind}{jobs}", file=sys.stderr)
            self._waited_since = now
