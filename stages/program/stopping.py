"""Begins a program, and ends it at Ctrl-C and SIGTERM with one line that says which work is kept.

Work is safe to kill, so a signal may end a program anywhere. During work, a signal raises an
exception, which removes half-written files and cancels the jobs of a cluster. This module imports
nothing slow: a program handles signals from its first import on.
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
"""Signals that end a program; SLURM can send SIGUSR1 to jobs whose time is nearly over."""

REQUEUED: Final = (signal.SIGTERM, signal.SIGUSR1)
"""Signals after which a batch system starts the same job again."""

STATUS: Final = 128
"""Number that is added to the signal's for the exit status, as shells do for a stopped program."""

STDERR: Final = 2


@dataclass(frozen=True)
class _Work:
    """Work that a signal may stop: the message about it, and whether it will be started again."""

    progress: str | None
    """Text about kept work, such as ``finished trials are kept in <folder>``; None without one."""
    is_requeued: bool
    """Whether a batch system may start the work again, so that being stopped is no failure."""
    is_resumed: bool
    """Whether the same command continues the work, which the message then says."""


_under_way: Final[list[_Work]] = []
"""Running blocks of work, the innermost last; without blocks, a signal ends the program at once."""


class Stopped(BaseException):
    """Raised by a signal during work; no ``Exception``, so that error handlers let it pass.

    ``line`` is the text to print, ``status`` the exit status of the program.
    """

    def __init__(self, line: str, status: int) -> None:
        super().__init__(line)
        self.line = line
        self.status = status


def begin_stage() -> None:
    """Begin the program ``python -m stages.<stage>``.

    If a module that stages import is not installed, the program ends with status 1 and one line.
    """
    if find_spec("zarr") is None:  # DVC runs the first python on the PATH
        sys.exit(
            "error: python must be that of the environment where usam-cache is installed, got "
            f"{sys.executable}: activate it first (source .venv/bin/activate)"
        )
    for module in EXTRAS["predict"]:  # modules that every stage imports
        if find_spec(module) is None:
            sys.exit(f"error: {absent(module)}")
    begin()


def begin() -> None:
    """Prepare this process for a program: idle threads sleep, and signals end it.

    Output escapes the characters that the terminal's encoding lacks.
    """
    prepare_process()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # false for the streams of a test or a notebook
            stream.reconfigure(errors="backslashreplace")
    listen()


def prepare_process() -> None:
    """Make waiting OpenMP threads of this process sleep, and silence Pillow about large images."""
    # OpenMP reads this variable when torch is loaded. By default its threads spin while they wait.
    # Beside threads that read and write, or other people's work, spinning made extraction on two
    # busy cores eight times slower than sleeping.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Pillow warns of images of more than 89 million pixels, without saying what to do; images of
    # twice as many are refused. Filters of the user come before this one.
    warnings.filterwarnings("ignore", "Image size .* decompression bomb", append=True)


def listen() -> None:
    """Install the handlers by which signals end this program with a message."""
    for number in SIGNALS:
        signal.signal(number, _stop)


@contextmanager
def stoppable(
    progress: str | None = None, *, is_requeued: bool = False, is_resumed: bool = True
) -> Iterator[None]:
    """Block of work that a signal ends by an exception; the outermost block then ends the program.

    A second signal ends the program at once.

    Parameters
    ----------
    progress
        Text for the message about kept work, such as ``finished trials are kept in <folder>``. None
        promises only that no file is half-written.
    is_requeued
        Whether a batch system starts the program again: the signals in ``REQUEUED`` then end the
        program with status 0. This holds for blocks within this block, too.
    is_resumed
        Whether the same command continues the work; the message about kept work then says so.
    """
    _under_way.append(_Work(progress, is_requeued, is_resumed))
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
    """End the program with status 1 and one line if a module of a missing extra is imported.

    An extra is a set of optional dependencies of this package. The error of any other missing
    module is raised.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        line = absent(error.name or "")
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(1) from error


def kept_work() -> str | None:
    """Text about the kept work of the innermost running block of ``stoppable``.

    None if no block runs, or the innermost block has no text.
    """
    return _under_way[-1].progress if _under_way else None


def _stop(number: int, _frame: FrameType | None) -> None:
    line, status = _line(number), _status(number)
    for later in SIGNALS:  # a second signal ends the program at once
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
    advice = "; run it again to go on" if _under_way[-1].is_resumed else ""
    return f"stopped by {name}: {progress}{advice}"


def _status(number: int) -> int:
    is_requeued = number in REQUEUED and any(work.is_requeued for work in _under_way)
    return 0 if is_requeued else STATUS + number


def _end(line: str, status: int) -> NoReturn:
    # Not print: the signal may have interrupted a print. The escape code shows the cursor again,
    # which a progress bar hides.
    start = "\x1b[?25h\n" if os.isatty(STDERR) else ""
    with suppress(OSError):
        os.write(STDERR, f"{start}{line}\n".encode())
    with suppress(OSError, RuntimeError):
        sys.stdout.flush()
    # A normal exit would wait for working threads; what they write appears whole or not at all.
    os._exit(status)
