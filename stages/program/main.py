"""Makes a function the program of a stage: parses arguments, reports errors, checks settings.

DVC reads ``params.yaml`` again when a stage has ended, and writes the settings to ``dvc.lock``.
Results must not be recorded under settings that were edited while the stage ran.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final

from pipeline.prompt_kinds import PromptError
from stages.program.stopping import kept_work, naming_extras, stoppable
from stages.settings.parsing import PARAMS_FILE, ParamsError, parse_yaml, read_yaml
from stages.settings.versions import check_versions
from storage.errors import DataError, ImageError, StoreError, WeightsError, printable, shown

REPORTED: Final = (
    *(ParamsError, DataError, ImageError, StoreError, WeightsError),
    *(PromptError, OSError),
)
"""Errors that a user can fix; any other error is a bug and keeps its traceback."""


def stage_main(main: Callable[..., None]) -> Callable[[], None]:
    """Make ``main`` a program: its arguments are ``sys.argv[1:]``, as ``str``, in order or by name.

    The program ends with one line on stderr: with status 1 for an error in ``REPORTED``, for a
    module of a missing extra, and if the settings of the stage changed while ``main`` ran; with
    status 2 for arguments that do not fit ``main``. Ctrl-C and SIGTERM end it with one line, too.
    Any other error keeps its traceback.
    """

    @wraps(main)
    def program() -> None:
        arguments = _checked_arguments(main, sys.argv[1:])
        stage = Path(inspect.getfile(main)).stem
        with stoppable(), naming_extras(), reported_errors(), running(stage, arguments):
            main(**arguments)

    return program


@contextmanager
def reported_errors() -> Iterator[None]:
    """End the program with status 1 and one line, ``error: ...``, for an error in ``REPORTED``.

    The program ends in the same way for a file name with letters that the locale lacks.
    """
    try:
        yield
    except REPORTED as error:
        line = one_line(error)
    except UnicodeEncodeError as error:
        if sys.getfilesystemencoding() == "utf-8":
            raise
        line = (
            f"names of files must be of the locale's letters ({error.encoding}), got "
            f"{shown(error.object)}: set PYTHONUTF8=1"
        )
    else:
        return
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(1)


def one_line(error: BaseException) -> str:
    """Message of an error as one line of printable text; for an ``OSError``, file and reason."""
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        names = (name for name in (error.filename, error.filename2) if name is not None)
        text = f"{' -> '.join(str(name) for name in names)}: {error.strerror}"
    lines = (line.strip() for line in text.splitlines())
    return printable(" ".join(line for line in lines if line)) or type(error).__name__


def _checked_arguments(main: Callable[..., None], arguments: list[str]) -> dict[str, str]:
    """Arguments of ``main`` by parameter name; DVC passes ``--split val --model tiny``.

    Arguments that do not fit ``main`` end the program with status 2.
    """
    signature = inspect.signature(main)
    try:
        if not arguments or not arguments[0].startswith("--"):
            return signature.bind(*arguments).arguments
        names = [name.removeprefix("--") for name in arguments[::2]]
        return signature.bind(**dict(zip(names, arguments[1::2], strict=True))).arguments
    except (TypeError, ValueError):
        expected = " ".join(name.upper() for name in signature.parameters) or "none"
        words = " ".join(arguments) or "none"
        print(f"error: arguments must be {expected}, got {words}", file=sys.stderr)
        raise SystemExit(2) from None


PIPELINE: Final = Path("dvc.yaml")


@dataclass(frozen=True)
class _Run:
    """A running stage, its arguments, and the bytes of ``params.yaml`` when it began."""

    stage: str
    arguments: Mapping[str, str]
    params: bytes


_run: Final[ContextVar[_Run | None]] = ContextVar("run", default=None)
"""The running stage; None where a command does the work of a stage: DVC records no settings."""


@contextmanager
def running(stage: str, arguments: Mapping[str, str]) -> Iterator[None]:
    """Read the settings when a stage begins, and call ``check_unchanged`` when the block succeeds.

    ``stage`` is its name in ``dvc.yaml``; ``arguments`` are those of its ``main``, by name.
    """
    params = PARAMS_FILE.read_bytes() if PARAMS_FILE.is_file() else b""
    token = _run.set(_Run(stage, arguments, params))
    try:
        yield
        check_unchanged()
    finally:
        _run.reset(token)


def check_unchanged() -> None:
    """Refuse settings that have changed since the running stage began.

    A stage calls it before it writes outputs, and it is called again when the stage has ended. Only
    settings that ``dvc.yaml`` lists under ``params`` of the stage count, since ``dvc.lock`` records
    only these. For a stage that ``dvc.yaml`` lacks, all settings but ``executor`` count.

    Raises
    ------
    ParamsError
        If a setting has changed, or ``versions.yaml`` differs from this code's versions.
    """
    run = _run.get()
    if run is None:
        return
    check_versions()
    now = PARAMS_FILE.read_bytes() if PARAMS_FILE.is_file() else b""
    if now == run.params:
        return
    names = _recorded(run.stage, run.arguments)
    old, new = (_values(content, names) for content in (run.params, now))
    changed = [
        f"{name}: {shown(old.get(name))} -> {shown(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if changed:
        progress = kept_work()
        raise ParamsError(
            f"{PARAMS_FILE} must stay as it was when the stage began, got {', '.join(changed)}; "
            f"{f'{progress}; ' if progress else ''}restore the old settings and run it again, or "
            "run it again under the new ones"
        )


def _recorded(stage: str, arguments: Mapping[str, str]) -> list[str] | None:
    """Names of the settings that DVC records for a stage with these arguments.

    None for a stage that ``dvc.yaml`` lacks.
    """
    stages = read_yaml(PIPELINE)["stages"] if PIPELINE.exists() else {}
    if stage not in stages:
        return None
    declared = stages[stage].get("do", stages[stage])

    def value(match: re.Match[str]) -> str:
        name = match[1]
        # ``key`` is DVC's name for the split in a stage that runs for each split.
        return arguments["split" if name == "key" else name.removeprefix("item.")]

    # An entry that is a mapping names settings of another file.
    names = [name for name in declared["params"] if isinstance(name, str)]
    return [re.sub(r"\$\{(.+?)\}", value, name) for name in names]


def _values(content: bytes, names: list[str] | None) -> dict[str, Any]:
    """Settings in or below ``names``, by dotted name, from the content of ``params.yaml``.

    ``names`` is None for all settings but those of ``executor``.
    """
    flat = dict(_flat(parse_yaml(PARAMS_FILE, content), ""))
    if names is None:
        return {key: value for key, value in flat.items() if not key.startswith("executor.")}
    return {
        key: value
        for key, value in flat.items()
        if any(f"{key}.".startswith(f"{name}.") for name in names)
    }


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - yaml gives anything
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
