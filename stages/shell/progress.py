"""Progress of long work: a bar on a terminal of its own, a plain line now and then elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def progress(what: str, total: int, unit: str = "objects") -> Iterator[Callable[[int], None]]:
    """Show how far a piece of work is; the yielded function takes how much more is done.

    Nothing is shown where there is nothing to do. Any thread may call the function.
    """
    if not total:
        yield lambda _: None
        return
    console = Console(stderr=True)
    show = _bar if console.is_terminal and is_in_front() else _lines
    lock = Lock()
    with show(what, total, unit) as advance:

        def counted(n: int) -> None:
            with lock:
                advance(n)

        yield counted


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
def _bar(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
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

        yield advance


@contextmanager
def _lines(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
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

    yield advance
    say(time.monotonic())
