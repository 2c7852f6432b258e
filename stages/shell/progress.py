"""Progress of long work: a bar on a terminal of its own, a plain line now and then elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S: Final = 10.0
"""Time between two plain lines."""

STDIN: Final = 0
STDERR: Final = 2


@dataclass(frozen=True)
class Count:
    """Counts a piece of work; called with how much more of it is done, from any thread."""

    add: Callable[[int], None]
    leave: Callable[[int], None]
    """Called with what turns out to be others' work: it no longer counts."""

    def __call__(self, n: int) -> None:
        """Count what is done."""
        self.add(n)


@contextmanager
def progress(what: str, total: int, unit: str = "objects") -> Iterator[Count]:
    """Show how far a piece of work is, as it is counted.

    Nothing is shown where there is nothing to do.
    """
    if not total:
        yield Count(lambda _: None, lambda _: None)
        return
    console = Console(stderr=True)
    show = _bar if console.is_terminal and is_in_front() else _lines
    lock = Lock()
    with show(what, total, unit) as count:

        def locked(step: Callable[[int], None], n: int) -> None:
            with lock:
                step(n)

        yield Count(partial(locked, count.add), partial(locked, count.leave))


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
        TextColumn("{task.description}", markup=False),  # may be a path with brackets
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    done = 0
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, rate="")

        def advance(n: int) -> None:
            nonlocal done
            done += n
            rate = done / max(time.monotonic() - started, 1e-9)
            bar.update(task, advance=n, rate=f"{rate:.1f} {unit}/s")

        def leave(n: int) -> None:
            nonlocal total
            total -= n
            bar.update(task, total=total)

        yield Count(advance, leave)


@contextmanager
def _lines(what: str, total: int, unit: str) -> Iterator[Count]:
    started = last = time.monotonic()
    done = 0

    def say(now: float) -> None:
        rate = done / max(now - started, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        print(
            f"{what}: {done}/{total} {unit}, {rate:.1f} {unit}/s{left}",
            file=sys.stderr,
            flush=True,
        )

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= LINE_EVERY_S:
            last = now
            say(now)

    def leave(n: int) -> None:
        nonlocal total
        total -= n

    yield Count(advance, leave)
    if total:
        say(time.monotonic())
