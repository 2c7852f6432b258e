"""A stage as a program: arguments come in, errors that a user can fix go out as one line."""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Final

from stages.program.stopping import stoppable
from stages.program.unchanged import running
from stages.settings.parsing import ParamsError
from storage.errors import DataError, ImageError, StoreError, WeightsError, shown

REPORTED: Final = (ParamsError, DataError, ImageError, StoreError, WeightsError, OSError)
"""Errors that a user can fix; any other is a bug and keeps its traceback."""


def stage_main(main: Callable[..., None]) -> Callable[[], None]:
    """Make ``main`` a program: ``sys.argv[1:]`` are its arguments, as ``str``, in order or by name.

    The program ends with status 1 and one line on stderr for an error in ``REPORTED``, and with
    status 2 where the arguments do not fit the parameters of ``main``. Ctrl-C and SIGTERM end it
    as ``stages.program.stopping`` says, settings that change meanwhile as
    ``stages.program.unchanged`` says.
    """

    @wraps(main)
    def program() -> None:
        arguments = _checked_arguments(main, sys.argv[1:])
        stage = Path(inspect.getfile(main)).stem
        with stoppable(), reported_errors(), running(stage, arguments):
            main(**arguments)

    return program


@contextmanager
def reported_errors() -> Iterator[None]:
    """End the program with status 1 and one line, ``error: ...``, for an error in ``REPORTED``.

    For a name of a file, too, that the locale has no letters for.
    """
    try:
        yield
    except REPORTED as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        raise SystemExit(1) from error
    except UnicodeEncodeError as error:
        if sys.getfilesystemencoding() == "utf-8":
            raise
        print(
            f"error: names of files must be of the locale's letters ({error.encoding}), got "
            f"{shown(error.object)}: set PYTHONUTF8=1",
            file=sys.stderr,
        )
        raise SystemExit(1) from error


def one_line(error: BaseException) -> str:
    """Message of an error without line breaks; for an ``OSError``, the file and the reason."""
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        names = (name for name in (error.filename, error.filename2) if name is not None)
        text = f"{' -> '.join(str(name) for name in names)}: {error.strerror}"
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line for line in lines if line) or type(error).__name__


def _checked_arguments(main: Callable[..., None], arguments: list[str]) -> dict[str, str]:
    """Arguments of ``main`` by their names; DVC gives them as ``--split val --model tiny``."""
    signature = inspect.signature(main)
    try:
        if not arguments or not arguments[0].startswith("--"):
            return signature.bind(*arguments).arguments
        names = [name.removeprefix("--") for name in arguments[::2]]
        return signature.bind(**dict(zip(names, arguments[1::2], strict=True))).arguments
    except (TypeError, ValueError):
        expected = " ".join(name.upper() for name in signature.parameters) or "none"
        got = " ".join(arguments) or "none"
        print(f"error: arguments must be {expected}, got {got}", file=sys.stderr)
        raise SystemExit(2) from None
