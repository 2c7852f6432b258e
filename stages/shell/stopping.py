"""Ctrl-C and SIGTERM: one line that says what is kept and how to go on, then the end.

Imports nothing slow, so that a program listens from its first import on.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import Final, NoReturn

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

GRACE_S: Final = 5.0
"""Longest wait for work under way; less than the ten seconds after which batch systems and
containers kill."""

STATUS: Final = 128
"""Added to the number of the signal: the exit status by which shells know a stopped program."""

STDERR: Final = 2

_kept: Final[list[str | None]] = []
"""What is kept of each piece of work under way, innermost last; if empty, nothing needs
unwinding."""

_asked: Final = Event()
"""Set once tasks in threads of this process are to stop."""


class Stopped(BaseException):
    """A signal has come; no ``except Exception`` mistakes it for an error of the work."""

    def __init__(self, number: int, line: str) -> None:
        super().__init__(line)
        self.number = number
        self.line = line


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


@contextmanager
def stoppable(kept: str | None = None) -> Iterator[None]:
    """A block that a signal leaves by an exception; the outermost one then ends the program.

    Parameters
    ----------
    kept
        What to say of the work in the block, e.g. ``finished trials are kept in <folder>``.
    """
    is_outermost = not _kept
    _kept.append(kept)
    try:
        yield
    except Stopped as stopped:
        if is_outermost:
            _end(stopped.number, stopped.line)
        raise
    finally:
        _kept.pop()


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
        raise Stopped(signal.SIGTERM, _line(signal.SIGTERM))


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in SIGNALS:  # whoever asks twice does not want to wait
        signal.signal(each, _end_now)
    if not _kept:
        _end_now(number, _frame)
    raise Stopped(number, _line(number))


def _end_now(number: int, _frame: FrameType | None) -> None:
    _end(number, _line(number))


def _end_late(arrived: int) -> None:
    """End a program whose main thread does not: it is in a C call, or waits for another thread.

    Handlers of signals run in the main thread between two steps of Python; the byte in the pipe
    comes at once.
    """
    number = os.read(arrived, 1)[0]
    line = _line(number)
    time.sleep(GRACE_S)
    _end(number, line)


def kept_work() -> str | None:
    """What is kept of the innermost work under way."""
    return _kept[-1] if _kept else None


def _line(number: int) -> str:
    kept = kept_work()
    name = signal.Signals(number).name
    if kept is None:
        return f"stopped by {name}: nothing is kept, nothing is half-written; run it again"
    return f"stopped by {name}: {kept}; run it again to go on"


def _end(number: int, line: str) -> NoReturn:
    # Not print: a signal may have come in the middle of one. A progress bar hides the cursor.
    start = "\x1b[?25h\n" if os.isatty(STDERR) else ""
    with suppress(OSError):
        os.write(STDERR, f"{start}{line}\n".encode())
    if current_thread() is main_thread():  # the other thread never waits, not even for a full pipe
        with suppress(OSError, RuntimeError):
            sys.stdout.flush()
    # A normal exit would wait for working threads; what they write appears whole or not at all.
    os._exit(STATUS + number)
