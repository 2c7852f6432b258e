"""Which workers of a scheduler can take tasks, and notes about the others."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

from distributed import Client

TIMEOUT_S: Final = 10
"""How long a scheduler may take to answer."""

SILENT_S: Final = 30.0
"""How long a worker may be silent; it sends a heartbeat every few seconds."""

NOTE_S: Final = 30.0
"""Time between two notes about workers that do not come."""

REFUSED_S: Final = 60.0
"""How long a worker in another folder gets no task; its files may just be late."""


class Workers(NamedTuple):
    """The workers of a scheduler, by their addresses."""

    free: list[str]
    """Those that can be given tasks."""
    silent: list[str]
    elsewhere: list[str]


@dataclass(frozen=True)
class Elsewhere:
    """Result of a worker that does not see the driver's files and has not begun the task."""

    worker: str
    folder: str


class Watch:
    """Watches the workers, and says when one is unusable or none is there."""

    def __init__(self, client: Client, kind: str, look_for: Callable[[int], None]) -> None:
        self.client = client
        self._kind = kind
        self._look_for = look_for
        self._signs: dict[str, tuple[float, float]] = {}  # the scheduler's clock, then ours
        self._refused: dict[str, float] = {}
        self._named: set[str] = set()
        self._since = -inf

    def look(self) -> Workers:
        """The workers as they are now; none if the scheduler does not answer."""
        now = time.monotonic()
        try:
            identity = self.client.scheduler.identity  # type: ignore[union-attr]
            found = self.client.sync(identity, n_workers=-1, callback_timeout=TIMEOUT_S)["workers"]  # type: ignore[no-untyped-call]
        except OSError:  # one that is gone ends the tasks: they tell
            found = {}
        for address, worker in found.items():
            if self._signs.get(address, (None,))[0] != worker["last_seen"]:
                self._signs[address] = worker["last_seen"], now
        silent = [one for one in found if now - self._signs[one][1] > SILENT_S]
        for one in silent:
            self._name(
                one,
                f"workers must answer within {SILENT_S:.0f} s, got nothing from {one}, which is "
                "stopped perhaps, or its disk; others do what it has in hand",
            )
        elsewhere = [one for one in found if now - self._refused.get(one, -inf) < REFUSED_S]
        free = [one for one in found if one not in {*silent, *elsewhere}]
        if not free and now - self._since >= NOTE_S:
            print(f"note: waiting for workers of {self._kind}", file=sys.stderr)
            self._since = now
        elif free:
            self._since = now
        self._look_for(len(free))
        return Workers(free, silent, elsewhere)

    def refuse(self, where: Elsewhere) -> None:
        """Give a worker no task for a while."""
        self._refused[where.worker] = time.monotonic()
        self._name(
            where.worker,
            f"workers must start in {Path.cwd()}, got {where.worker} in {where.folder}",
        )

    def _name(self, worker: str, why: str) -> None:
        """Say once what is wrong with a worker."""
        if worker not in self._named:
            print(f"note: {why}", file=sys.stderr)
        self._named.add(worker)
