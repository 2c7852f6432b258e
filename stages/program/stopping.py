"""Ctrl-C and SIGTERM: end with one line that says what is kept and how to continue.

Work is safe to kill, so a signal may end it anywhere. During work it raises an exception, which
removes half-written files and cancels the jobs of a cluster. Imports nothing slow, so a program
listens from its first import on; what else it does first is here, too.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from types import FrameType
from typing import Final, NoReturn

from storage.extras import absent

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""SLURM sends the last one, if configured, to jobs whose time is nearly over."""

REQUEUED: Final = (signal.SIGTERM, signal.SIGUSR1)
"""Signals after which a batch system starts the same job again."""

STATUS: Final = 128
"""Added to the number of the signal: the exit status by which shells know a stopped program."""

STDERR: Final = 2


@dataclass(frozen=True)
class _Work:
    """A piece of work under way."""

    kept: str | None
    """What to say of it."""
    is_requeued: bool
    """Whether a batch system may start it again, so that being stopped is no failure."""


_under_way: Final[list[_Work]] = []
"""Innermost last; if empty, nothing needs unwinding."""


class Stopped(BaseException):
    """A signal has come; no ``except Exception`` mistakes it for an error of the work."""

    def __init__(self, line: str, status: int) -> None:
        super().__init__(line)
        self.line = line
        self.status = status


def listen() -> None:
    """From now on, let signals end this program with a message."""
    for number in SIGNALS:
        signal.signal(number, _stop)


def write_any_text() -> None:
    """From now on, escape characters that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not what a test or a notebook puts there
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def stoppable(kept: str | None = None, *, is_requeued: bool = False) -> Iterator[None]:
    """A block that a signal leaves by an exception; the outermost block then ends the program.

    Parameters
    ----------
    kept
        What to say of the work in the block, e.g. ``finished trials are kept in <folder>``.
    is_requeued
        Whether a batch system starts the program again: the signals that it sends then end it
        with status 0.
    """
    _under_way.append(_Work(kept, is_requeued))
    try:
        yield
    except Stopped as stopped:
        if len(_under_way) == 1:
            _end(stopped.line, stopped.status)
        raise
    finally:
        _under_way.pop()


@contextmanager
def naming_extras() -> Iterator[None]:
    """End the program with status 1 and one line where a module is absent that an extra brings."""
    try:
        yield
    except ModuleNotFoundError as error:
        line = absent(error.name or "")
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(1) from error


def kept_work() -> str | None:
    """What is kept of the innermost unit of work."""
    return _under_way[-1].kept if _under_way else None


def _stop(number: int, _frame: FrameType | None) -> None:
    line, status = _line(number), _status(number)
    for one in SIGNALS:  # asked twice: do not wait
        signal.signal(one, lambda *_: _end(line, status))
    if not _under_way:
        _end(line, status)
    raise Stopped(line, status)


def _line(number: int) -> str:
    kept = kept_work()
    name = signal.Signals(number).name
    if kept is None:
        return f"stopped by {name}: nothing is kept, nothing is half-written; run it again"
    return f"stopped by {name}: {kept}; run it again to go on"


def _status(number: int) -> int:
    is_requeued = number in REQUEUED and any(work.is_requeued for work in _under_way)
    return 0 if is_requeued else STATUS + number


def _end(line: str, status: int) -> NoReturn:
    # Not print: a signal may have come in the middle of one. A progress bar hides the cursor.
    start = "\x1b[?25h\n" if os.isatty(STDERR) else ""
    with suppress(OSError):
        os.write(STDERR, f"{start}{line}\n".encode())
    with suppress(OSError, RuntimeError):
        sys.stdout.flush()
    # A normal exit would wait for working threads; what they write appears whole or not at all.
    os._exit(status)
