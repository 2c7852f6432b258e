"""Progress of long work: a bar on a terminal of its own, elsewhere a plain line now and then."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, TypeVar

from rich import progress as bars
from rich.console import Console

T = TypeVar("T")

LINE_EVERY_S: Final = 10.0
"""Time between two plain lines."""

STDIN: Final = 0
STDERR: Final = 2


@dataclass
class Count:
    """Counts work done; called with each increment, from any thread."""

    total: int
    unit: str
    show: Callable[["Count"], None]
    done: int = 0
    started: float = field(default_factory=lambda: time.monotonic())  # noqa: PLW0108 - tests turn it
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, n: int) -> None:
        """Count what is done."""
        with self._lock:
            self.done += n
            self.show(self)

    def leave(self, n: int) -> None:
        """Exclude work that others turn out to have done."""
        with self._lock:
            self.total -= n
            self.show(self)

    @property
    def rate(self) -> str:
        """How much is done per second."""
        return f"{self._per_s:.1f} {self.unit}/s"

    def __str__(self) -> str:
        left = f", {(self.total - self.done) / self._per_s:.0f} s left" if self.done else ""
        return f"{self.done}/{self.total} {self.unit}, {self.rate}{left}"

    @property
    def _per_s(self) -> float:
        return self.done / max(time.monotonic() - self.started, 1e-9)


@contextmanager
def progress(what: str, total: int, unit: str = "objects") -> Iterator[Count]:
    """Show how far a piece of work is, as it is counted.

    Nothing is shown where there is nothing to do.
    """
    console = Console(stderr=True)
    show = _bar if total and console.is_terminal and is_in_front() else _lines
    with show(what, total, unit) as count:
        yield count


def counting(items: Iterable[T], advance: Callable[[int], None]) -> Iterator[T]:
    """The same items, each counted once the next one is requested."""
    for item in items:
        yield item
        advance(1)


def is_in_front() -> bool:
    """Whether the terminal waits for this process: bars of two would be drawn over each other.

    Of those that run in the background, an interactive shell keeps another group of processes in
    front; a script, such as one of make, gives them no terminal to read from.
    """
    try:
        return os.isatty(STDIN) and os.tcgetpgrp(STDERR) == os.getpgrp()
    except OSError:  # no terminal of this session
        return False


@contextmanager
def _bar(what: str, total: int, unit: str) -> Iterator[Count]:
    columns = (
        bars.TextColumn("{task.description}", markup=False),  # may be a path with brackets
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, rate="")
        yield Count(
            total,
            unit,
            lambda count: bar.update(
                task, completed=count.done, total=count.total, rate=count.rate
            ),
        )


@contextmanager
def _lines(what: str, total: int, unit: str) -> Iterator[Count]:
    last = time.monotonic()

    def show(count: Count) -> None:
        nonlocal last
        now = time.monotonic()
        if count.total and now - last >= LINE_EVERY_S:
            last = now
            print(f"{what}: {count}", file=sys.stderr, flush=True)

    count = Count(total, unit, show)
    yield count
    if count.total:
        print(f"{what}: {count}", file=sys.stderr, flush=True)
