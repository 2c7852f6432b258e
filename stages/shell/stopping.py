"""Ctrl-C and SIGTERM: one line that says what is kept and how to go on, then the end.

Imports nothing slow, so that a program listens from its first import on.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import Final, NoReturn

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""SLURM sends the last one, where it is asked to, to jobs whose time is nearly over."""

REQUEUED: Final = (signal.SIGTERM, signal.SIGUSR1)
"""Signals after which a batch system starts the same job again."""

GRACE_S: Final = 5.0
"""Longest wait for work under way; less than the ten seconds after which batch systems and
containers kill."""

STATUS: Final = 128
"""Added to the number of the signal: the exit status by which shells know a stopped program."""

STDERR: Final = 2

FINISH_S: Final = 3.0
"""Longest wait for a block that is to be finished."""

AGAIN_S: Final = 0.01
"""Wait before an exception that Python has dropped is raised again."""


@dataclass(frozen=True)
class _Work:
    """A piece of work under way."""

    kept: str | None
    """What to say of it."""
    is_requeued: bool
    """Whether a batch system may start it again, so that being stopped is no failure."""


_under_way: Final[list[_Work]] = []
"""Innermost last; if empty, nothing needs unwinding."""

_finishing: Final[list[int | None]] = []
"""The signal that came in each block that is to be finished."""

_asked: Final = Event()
"""Set once tasks in threads of this process are to stop."""


class Stopped(BaseException):
    """A signal has come; no ``except Exception`` mistakes it for an error of the work."""

    def __init__(self, number: int, line: str, status: int | None = None) -> None:
        super().__init__(line)
        self.number = number
        self.line = line
        self.status = STATUS + number if status is None else status


def listen() -> None:
    """From now on, let signals end this program with a line of words."""
    if signal.getsignal(signal.SIGTERM) is _stop:
        return
    arrived, announce = os.pipe()
    os.set_blocking(announce, False)
    signal.set_wakeup_fd(announce)
    Thread(target=_end_late, args=(arrived,), daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, _stop)
    sys.unraisablehook = _raise_again


@contextmanager
def stoppable(kept: str | None = None, *, is_requeued: bool = False) -> Iterator[None]:
    """A block that a signal leaves by an exception; the outermost one then ends the program.

    Parameters
    ----------
    kept
        What to say of the work in the block, e.g. ``finished trials are kept in <folder>``.
    is_requeued
        Whether a batch system starts the program again: the signals that it sends then end it
        with status 0.
    """
    is_outermost = not _under_way
    _under_way.append(_Work(kept, is_requeued))
    try:
        yield
    except Stopped as stopped:
        if is_outermost:
            _end(stopped.line, stopped.status)
        raise
    finally:
        _under_way.pop()


@contextmanager
def finishing() -> Iterator[None]:
    """A block that a signal lets end first, unless it takes more than ``FINISH_S``.

    Raises
    ------
    Stopped
        After the block, or in it once that time is over; after it also where ``ask_to_stop`` was
        called.
    """
    if current_thread() is not main_thread():
        yield
        check_not_asked()
        return
    _finishing.append(None)
    try:
        yield
    finally:
        number = _finishing.pop()
        if number is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
    if number is not None:
        raise _stopped(number)
    check_not_asked()


def ask_to_stop() -> None:
    """Let ``check_not_asked`` stop what runs in any thread of this process."""
    _asked.set()


def check_not_asked() -> None:
    """Stop work in a thread that no signal reaches, at a point where it can be kept.

    Raises
    ------
    Stopped
        If ``ask_to_stop`` was called in this process.
    """
    if _asked.is_set():
        raise _stopped(signal.SIGTERM)


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in SIGNALS:  # whoever asks twice does not want to wait
        signal.signal(each, _end_now)
    _leave(number)


def _leave(number: int) -> None:
    if not _under_way:
        _end_now(number, None)
    if not _finishing:
        raise _stopped(number)
    _finishing[-1] = number
    signal.signal(signal.SIGALRM, partial(_stop_late, number))
    signal.setitimer(signal.ITIMER_REAL, FINISH_S)


def _raise_again(dropped: "sys.UnraisableHookArgs") -> None:
    """Where a signal came in a destructor or a weak reference's callback, stop a little later.

    Python prints what is raised there, and goes on.
    """
    stopped = dropped.exc_value
    if not isinstance(stopped, Stopped):
        sys.__unraisablehook__(dropped)
        return
    number = stopped.number
    signal.signal(signal.SIGALRM, lambda *_: _leave(number))
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def _stop_late(number: int, _alarm: int, _frame: FrameType | None) -> None:
    _finishing[-1] = None
    raise _stopped(number)


def _stopped(number: int) -> Stopped:
    return Stopped(number, _line(number), _status(number))


def _end_now(number: int, _frame: FrameType | None) -> None:
    _end(_line(number), _status(number))


def _end_late(arrived: int) -> None:
    """End a program whose main thread does not: it is in a C call, or waits for another thread.

    Handlers of signals run in the main thread between two steps of Python; the byte in the pipe
    comes at once.
    """
    number = os.read(arrived, 1)[0]
    line, status = _line(number), _status(number)
    time.sleep(GRACE_S)
    _end(line, status)


def kept_work() -> str | None:
    """What is kept of the innermost work under way."""
    return _under_way[-1].kept if _under_way else None


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
    if current_thread() is main_thread():  # the other thread never waits, not even for a full pipe
        with suppress(OSError, RuntimeError):
            sys.stdout.flush()
    # A normal exit would wait for working threads; what they write appears whole or not at all.
    os._exit(status)
