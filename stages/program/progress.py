"""Progress of long work: a bar on a terminal, elsewhere a plain line now and then."""

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
    """Counts finished work; called with each increment, from any thread."""

    total: int
    unit: str
    show: Callable[["Count"], None]
    done: int = 0
    started: float = field(default_factory=lambda: time.monotonic())  # noqa: PLW0108 - tests turn it
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, n: int) -> None:
        """Count finished work."""
        with self._lock:
            self.done += n
            self.show(self)

    def exclude(self, n: int) -> None:
        """Exclude work that other processes have done."""
        with self._lock:
            self.total -= n
            self.show(self)

    @property
    def rate(self) -> str:
        """Work per second."""
        return f"{self._per_s:.1f} {self.unit}/s"

    def __str__(self) -> str:
        remaining = f", {(self.total - self.done) / self._per_s:.0f} s left" if self.done else ""
        return f"{self.done}/{self.total} {self.unit}, {self.rate}{remaining}"

    @property
    def _per_s(self) -> float:
        return self.done / max(time.monotonic() - self.started, 1e-9)


@contextmanager
def progress(title: str, total: int, unit: str = "objects") -> Iterator[Count]:
    """Show the progress of a piece of work, as it is counted; nothing where it is empty."""
    console = Console(stderr=True)
    show = _bar if total and console.is_terminal and is_in_front() else _lines
    with show(title, total, unit) as count:
        yield count


def counting(items: Iterable[T], advance: Callable[[int], None]) -> Iterator[T]:
    """The same items; each is counted when the next one is requested."""
    for item in items:
        yield item
        advance(1)


def is_in_front() -> bool:
    """Whether the terminal waits for this process: two processes would draw bars over each other.

    For processes in the background, an interactive shell keeps another group of processes in front;
    a script, or make, gives them no terminal to read from.
    """
    try:
        return os.isatty(STDIN) and os.tcgetpgrp(STDERR) == os.getpgrp()
    except OSError:  # no terminal of this session
        return False


@contextmanager
def _bar(title: str, total: int, unit: str) -> Iterator[Count]:
    columns = (
        bars.TextColumn("{task.description}", markup=False),  # may be a path with brackets
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, rate="")
        yield Count(
            total,
            unit,
            lambda count: bar.update(
                task, completed=count.done, total=count.total, rate=count.rate
            ),
        )


@contextmanager
def _lines(title: str, total: int, unit: str) -> Iterator[Count]:
    last = time.monotonic()

    def show(count: Count) -> None:
        nonlocal last
        now = time.monotonic()
        if count.total and now - last >= LINE_EVERY_S:
            last = now
            print(f"{title}: {count}", file=sys.stderr, flush=True)

    count = Count(total, unit, show)
    yield count
    if count.total:
        print(f"{title}: {count}", file=sys.stderr, flush=True)
