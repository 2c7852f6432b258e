"""Which workers of a scheduler can be given tasks, and what is said of the others."""

import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from distributed import Client

TIMEOUT_S: Final = 10
"""How long a scheduler may take to answer."""

SILENT_S: Final = 30.0
"""How long a worker may give no sign of life; it gives one every few seconds."""

NOTE_S: Final = 30.0
"""Time between two notes about workers that do not come."""

REFUSED_S: Final = 60.0
"""How long a worker in another folder gets no task; its files may only come late."""


class Workers(NamedTuple):
    """The workers of a scheduler, by their addresses."""

    all: Collection[str]
    free: list[str]
    """Those that can be given tasks."""
    silent: list[str]


@dataclass(frozen=True)
class Elsewhere:
    """What a worker gives that does not see the driver's files: it has not begun the task."""

    worker: str
    folder: str


@dataclass
class Watch:
    """Looks at the workers, and says so where one is of no use or none is there."""

    client: Client
    kind: str
    look_for: Callable[[int], None]
    """Called at every look, with how many workers can be given tasks."""
    signs: dict[str, tuple[float, float]] = field(default_factory=dict)
    """The last sign of life of each worker, by the scheduler's clock, and by ours."""
    refused: dict[str, float] = field(default_factory=dict)
    """When each worker that was in another folder was so the last time."""
    named: set[str] = field(default_factory=set)
    free_s: float = -NOTE_S
    """When there was a free worker, or a note that there is none."""

    def look(self) -> Workers:
        """The workers as they are now; none if the scheduler does not answer."""
        now = time.monotonic()
        found = self.ask(self.client.scheduler.identity, n_workers=-1).get("workers", {})
        for address, worker in found.items():
            sign = worker["last_seen"]
            if self.signs.get(address, (None,))[0] != sign:
                self.signs[address] = sign, now
        silent = [address for address in found if now - self.signs[address][1] > SILENT_S]
        for address in silent:
            self._name(
                address,
                f"workers must answer within {SILENT_S:.0f} s, got nothing from {address}, which "
                "is stopped perhaps, or its disk; others do what it has in hand",
            )
        lately = {address for address, then in self.refused.items() if now - then < REFUSED_S}
        free = [address for address in found if address not in {*silent, *lately}]
        if not free and now - self.free_s >= NOTE_S:
            print(f"note: waiting for workers of {self.kind}", file=sys.stderr)
            self.free_s = now
        elif free:
            self.free_s = now
        self.look_for(len(free))
        return Workers(found, free, silent)

    def refuse(self, where: Elsewhere) -> None:
        """Give a worker no task for a while."""
        self.refused[where.worker] = time.monotonic()
        self._name(
            where.worker,
            f"workers must start in {Path.cwd()}, got {where.worker} in {where.folder}",
        )

    def keys_of(self, workers: list[str]) -> set[str]:
        """Keys of the tasks that some workers have in hand, or whose results they have."""
        if not workers:
            return set()
        scheduler = self.client.scheduler
        found = [
            self.ask(rpc, workers=[*workers]) for rpc in (scheduler.processing, scheduler.has_what)
        ]
        return {key for held in found for keys in held.values() for key in keys}

    def ask(self, rpc: Callable[..., Any], **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """What the scheduler answers; nothing if it does not."""
        try:
            return self.client.sync(rpc, callback_timeout=TIMEOUT_S, **arguments)  # type: ignore[no-untyped-call,no-any-return]
        except OSError:  # one that is gone ends the tasks: they tell
            return {}

    def _name(self, worker: str, why: str) -> None:
        """Say once what is wrong with a worker."""
        if worker not in self.named:
            print(f"note: {why}", file=sys.stderr)
        self.named.add(worker)
