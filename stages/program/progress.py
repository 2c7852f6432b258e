"""Begins work before its results are needed, and shows the progress of long work.

Progress is a bar on a terminal, and elsewhere plain lines.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, TypeVar

from rich import progress as bars
from rich.console import Console

T = TypeVar("T")
J = TypeVar("J")
R = TypeVar("R")

LINE_EVERY_S: Final = 10.0
"""Seconds between two plain lines of progress."""

RECENT_S: Final = 60.0
"""Seconds that a rate looks back: a slow start, such as loading a model, must not stay in it."""

STDIN: Final = 0
STDERR: Final = 2


@dataclass
class Count:
    """Counter of finished work in units of ``unit``; call it with each increment, from any thread.

    ``show`` is called after each change.
    """

    total: int
    unit: str
    show: Callable[["Count"], None]
    done: int = 0
    _notes: deque[tuple[float, int]] = field(default_factory=deque)
    """Times and the work finished until then, about one per second of the last ``RECENT_S``."""
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._notes.append((time.monotonic(), self.done))

    def __call__(self, n: int) -> None:
        """Add ``n`` units to the finished work, and show the progress."""
        with self._lock:
            self.done += n
            now = time.monotonic()
            if now - self._notes[-1][0] >= 1:
                self._notes.append((now, self.done))
            while len(self._notes) > 1 and now - self._notes[1][0] >= RECENT_S:
                self._notes.popleft()
            self.show(self)

    def exclude(self, n: int) -> None:
        """Subtract ``n`` units, which other processes have done, from the total work."""
        with self._lock:
            self.total -= n
            self.show(self)

    @property
    def rate(self) -> str:
        """Recently finished work per second as text, such as ``2.5 objects/s``."""
        return f"{self._per_s:{'.1f' if self._per_s >= 1 else '.2g'}} {self.unit}/s"

    def __str__(self) -> str:
        is_moving = self._per_s > 0
        left = f", {(self.total - self.done) / self._per_s:.0f} s left" if is_moving else ""
        return f"{self.done}/{self.total} {self.unit}, {self.rate}{left}"

    @property
    def _per_s(self) -> float:
        started, done = self._notes[0]
        return (self.done - done) / max(time.monotonic() - started, 1e-9)


@contextmanager
def progress(
    title: str, total: int, unit: str = "objects", *, n_before: int = 0
) -> Iterator[Count]:
    """Show the progress of work of ``total`` units on stderr, and yield the counter of the work.

    ``n_before`` of the units were finished by an earlier run: they count, but not in the rate.
    Call the counter with the number of units that were just finished. Progress is a bar in the
    foreground of a terminal, else a line each ``LINE_EVERY_S`` and at the end. Nothing is shown if
    ``total`` is 0.
    """
    console = Console(stderr=True)
    show = _bar if total and console.is_terminal and is_in_front() else _lines
    with show(title, total, unit, n_before) as count:
        yield count


def counting(items: Iterable[T], advance: Callable[[int], None]) -> Iterator[T]:
    """Yield the items unchanged; each item is counted when the next item is requested."""
    for item in items:
        yield item
        advance(1)


def ahead(
    pool: ThreadPoolExecutor, work: Callable[[J], R], jobs: Iterable[J], *, n: int
) -> Iterator[R]:
    """Yield results of ``work`` in the order of the jobs; up to ``n`` jobs run in advance.

    An error of a job is raised when its result is due.
    """
    begun: deque[Future[R]] = deque()
    for job in jobs:
        begun.append(pool.submit(work, job))
        if len(begun) > n:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def is_in_front() -> bool:
    """Whether this process runs in the foreground of a terminal, where it may draw a bar.

    Two processes would draw bars over each other. A background process of an interactive shell is
    not in the terminal's foreground group; in a script or make, its input is no terminal.
    """
    try:
        return os.isatty(STDIN) and os.tcgetpgrp(STDERR) == os.getpgrp()
    except OSError:  # no controlling terminal
        return False


@contextmanager
def _bar(title: str, total: int, unit: str, n_before: int) -> Iterator[Count]:
    columns = (
        bars.TextColumn("{task.description}", markup=False),  # may be a path with brackets
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=n_before, rate="")
        yield Count(
            total,
            unit,
            lambda count: bar.update(
                task, completed=count.done, total=count.total, rate=count.rate
            ),
            n_before,
        )


@contextmanager
def _lines(title: str, total: int, unit: str, n_before: int) -> Iterator[Count]:
    last = time.monotonic()

    def show(count: Count) -> None:
        nonlocal last
        now = time.monotonic()
        if count.total > 0 and now - last >= LINE_EVERY_S:
            last = now
            print(f"{title}: {count}", file=sys.stderr, flush=True)

    count = Count(total, unit, show, n_before)
    yield count
    if count.total > 0:  # less than 0 if work that is not shown was excluded
        print(f"{title}: {count}", file=sys.stderr, flush=True)
