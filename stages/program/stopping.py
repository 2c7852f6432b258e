"""How a program begins, and how Ctrl-C and SIGTERM end it: with one line on what is kept.

Work is safe to kill, so a signal may end it anywhere. During work it raises an exception, which
removes half-written files and cancels the jobs of a cluster. This module imports nothing slow: a
program listens to signals from its first import on.
"""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import TextIOWrapper
from types import FrameType
from typing import Final, NoReturn

from storage.extras import EXTRAS, absent

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

    progress: str | None
    """What a message says of it, such as ``finished trials are kept in <folder>``."""
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


def begin_stage() -> None:
    """Begin the program ``python -m stages.<stage>``.

    Ends it with status 1 and one line where the modules that stages import are not installed.
    """
    if find_spec("zarr") is None:  # DVC runs the python of the PATH
        sys.exit(
            "error: python must be that of the environment where usam-cache is installed, got "
            f"{sys.executable}: activate it first (source .venv/bin/activate)"
        )
    for module in EXTRAS["predict"]:  # as these are imported before a stage's own work begins
        if find_spec(module) is None:
            sys.exit(f"error: {absent(module)}")
    begin()


def begin() -> None:
    """Begin a program: it listens to signals, and writes any text."""
    prepare_process()
    write_any_text()
    listen()


def prepare_process() -> None:
    """Have threads of this process sleep while they wait, and Pillow not warn of large images."""
    # OpenMP reads this when torch is loaded. By default its threads spin while they wait. With the
    # threads that read and write (or other people's work) beside them, that made extraction on two
    # busy cores eight times slower than sleeping does.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Pillow warns of images of more than 89 million pixels, without saying what to do; images of
    # twice as many are refused. Filters of the user come before this one.
    warnings.filterwarnings("ignore", "Image size .* decompression bomb", append=True)


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
def stoppable(progress: str | None = None, *, is_requeued: bool = False) -> Iterator[None]:
    """A block that a signal leaves by an exception; the outermost block then ends the program.

    Parameters
    ----------
    progress
        What the message says of the work in the block, such as ``finished trials are kept in
        <folder>``.
    is_requeued
        Whether a batch system starts the program again: its signals then end the program with
        status 0.
    """
    _under_way.append(_Work(progress, is_requeued))
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
    """What is kept of the innermost piece of work, for a message."""
    return _under_way[-1].progress if _under_way else None


def _stop(number: int, _frame: FrameType | None) -> None:
    line, status = _line(number), _status(number)
    for later in SIGNALS:  # a second signal does not wait
        signal.signal(later, lambda *_: _end(line, status))
    if not _under_way:
        _end(line, status)
    raise Stopped(line, status)


def _line(number: int) -> str:
    progress = kept_work()
    name = signal.Signals(number).name
    if progress is None:
        # What is kept differs between commands; every file is written whole or not at all.
        return f"stopped by {name}: no file is half-written; run it again"
    return f"stopped by {name}: {progress}; run it again to go on"


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
