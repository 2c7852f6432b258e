"""Which workers of a scheduler can take tasks, and notes about the others."""

import sys
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any, Final

from dask import config
from distributed import Client

TIMEOUT_S: Final = 10
"""How long a scheduler may take to answer."""

LOOK_S: Final = 5.0
"""Time between two looks at the workers."""

SILENT_S: Final = 30.0
"""How long a worker may be silent; it sends a heartbeat every few seconds."""

NOTE_S: Final = 30.0
"""Time between two notes about workers that do not come."""

TTL: Final = "distributed.scheduler.worker-ttl"
"""Setting of a scheduler: how long it waits for a heartbeat before others do a worker's task."""


class Watch:
    """Watches a scheduler's workers, and says when one is unusable or none is there.

    Parameters
    ----------
    kind
        The executor's kind, for messages.
    mark
        The resource of workers that see the driver's files, and the metric in which each worker
        tells its folder.
    look_for
        Looks after the jobs of workers, given the number of usable workers; says what it waits for.
    """

    def __init__(
        self, client: Client, *, kind: str, mark: str, look_for: Callable[[int], str]
    ) -> None:
        self._client = client
        self._kind = kind
        self._mark = mark
        self._look_for = look_for
        self._looked = self._waited_since = -inf
        self._n_usable = 0
        self._heartbeats: dict[str, tuple[float, float]] = {}  # the scheduler's clock, then ours
        self._named: set[str] = set()

    def n_usable(self) -> int:
        """Workers that see the driver's files, by a look that is at most ``LOOK_S`` old.

        0 if the scheduler does not answer. A silent worker counts until the scheduler drops it.
        """
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            workers = self._workers()
            for address, worker in workers.items():
                self._check_heartbeat(address, worker["last_seen"], now)
            usable = [name for name in workers if self._mark in workers[name]["resources"]]
            for address in workers.keys() - usable:
                self._check_folder(address, workers[address]["metrics"].get(self._mark))
            self._n_usable = len(usable)
            self._note_wait(self._look_for(self._n_usable), now)
        return self._n_usable

    def _workers(self) -> dict[str, Any]:
        try:
            identity = self._client.scheduler.identity  # type: ignore[union-attr]
            answer = self._client.sync(identity, n_workers=-1, callback_timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
        except OSError:  # a scheduler that is gone ends the tasks, and they tell
            return {}
        return dict(answer["workers"])

    def _check_heartbeat(self, address: str, heartbeat: float, now: float) -> None:
        if self._heartbeats.get(address, (None,))[0] != heartbeat:
            self._heartbeats[address] = heartbeat, now
        elif now - self._heartbeats[address][1] > SILENT_S and address not in self._named:
            self._name(
                address,
                f"workers must answer within {SILENT_S:.0f} s, got nothing from {address}, which "
                f"is stopped perhaps, or its disk; {self._end_of_wait()}",
            )

    def _end_of_wait(self) -> str:
        """When others begin the task of a silent worker, by the setting of its scheduler.

        The scheduler's process need not have this project: it is asked for a function of Dask's.
        """
        ttl = self._client.run_on_scheduler(config.get, TTL)  # type: ignore[no-untyped-call]
        if ttl is None:
            return f"end it, so that others do its task: its scheduler has no {TTL}"
        return f"others do its task within twice its scheduler's {TTL}, {ttl}"

    def _check_folder(self, address: str, folder: str | None) -> None:
        if folder is not None:  # else it has not looked yet
            rule = "start in" if folder != str(Path.cwd()) else "see the files of"
            self._name(address, f"workers must {rule} {Path.cwd()}, got {address} in {folder}")

    def _name(self, worker: str, why: str) -> None:
        """Say once why a worker is unusable."""
        if worker not in self._named:
            print(f"note: {why}", file=sys.stderr)
        self._named.add(worker)

    def _note_wait(self, jobs: str, now: float) -> None:
        if self._n_usable:
            self._waited_since = now
        elif now - self._waited_since >= NOTE_S:
            print(f"note: waiting for workers of {self._kind}{jobs}", file=sys.stderr)
            self._waited_since = now
