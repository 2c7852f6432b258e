"""``usam run``: the stages of ``dvc.yaml`` in its order, on machines that have no DVC."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from stages.program.main import PIPELINE, reported_errors
from stages.program.mend import mend
from stages.program.stopping import stoppable
from stages.settings.params import read_params
from stages.settings.parsing import PARAMS_FILE, ParamsError, read_yaml
from storage.errors import DataError

WHOLE: Final = re.compile(r"\$\{([\w.]+)\}")
"""A reference in dvc.yaml, such as ``${item}``, to a setting or to a row of a matrix."""

Globs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[STAGE]...", help="Stages, such as train or 'extract@*-tiny-*'; all by default."
    ),
]


@dataclass(frozen=True)
class Step:
    """Name, commands and outputs of a stage of dvc.yaml for one row of its matrix."""

    name: str
    """DVC's name, ``STAGE@ROW``; without a matrix ``STAGE``."""
    commands: tuple[tuple[str, ...], ...]
    """Words of each command; the commands run one after the other."""
    outs: tuple[Path, ...] = ()


def run(stages: Globs = None) -> None:
    """Run the stages of dvc.yaml in order, without DVC.

    The outputs are byte for byte those of `dvc repro`. Nothing is skipped: outputs are made
    again, except shards in the pool.
    """
    progress = "outputs of finished stages and shards in the pool are kept"
    with reported_errors(), stoppable(progress):
        mend()
        read_params()
        steps = choose(list(steps_of(read_yaml(PIPELINE), read_yaml(PARAMS_FILE))), stages or ())
        for step in steps:
            run_step(step)


def run_step(step: Step) -> None:
    """Run the commands of a stage; a DataError if one of them fails."""
    print(f"Running stage '{step.name}':", flush=True)
    for command in step.commands:
        print(f"> {shlex.join(command)}", flush=True)
        _run(step.name, command)


def steps_of(pipeline: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Step]:
    """Yield the steps of all stages: one for each row of a ``foreach`` or ``matrix``.

    ``pipeline`` and ``params`` are the contents of ``dvc.yaml`` and of ``params.yaml``.
    """
    for stage, declared in pipeline["stages"].items():
        command = declared.get("do", declared)["cmd"]
        lines = [command] if isinstance(command, str) else command
        for row in _rows(declared, params):
            name = "@".join([stage, "-".join(row.values())] if row else [stage])
            words = {"key": (row["key"],)} if "foreach" in declared else {"item": _options(row)}
            commands = tuple(tuple(_words(line, words, name)) for line in lines)
            yield Step(name, commands, tuple(_outs(declared.get("do", declared), row)))


def _outs(declared: Mapping[str, Any], row: Mapping[str, str]) -> Iterator[Path]:
    """Paths of the outputs of a stage for a row of its matrix; DVC allows options with a path."""
    for out in declared.get("outs", ()):
        path = out if isinstance(out, str) else next(iter(out))
        yield Path(WHOLE.sub(lambda reference: row[reference[1].removeprefix("item.")], path))


def _rows(declared: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    axes = {"key": declared["foreach"]} if "foreach" in declared else declared.get("matrix", {})
    values = [_values(axis, params) for axis in axes.values()]
    return (dict(zip(axes, row, strict=True)) for row in product(*values))


def _values(axis: str | list[str], params: Mapping[str, Any]) -> list[str]:
    """Values of a matrix axis: its list, or the names in the setting that ``${...}`` refers to."""
    if isinstance(axis, list):
        return [*axis]
    setting: Any = params
    for key in WHOLE.sub(r"\1", axis).split("."):
        setting = setting[key]
    return [*setting]


def _options(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word for key, value in row.items() for word in (f"--{key}", value))


def _words(line: str, row: Mapping[str, tuple[str, ...]], stage: str) -> Iterator[str]:
    """Words of a command line, in which references to a row are replaced.

    No shell reads the words, so a name in ``params.yaml`` needs no quotes. Any other reference is
    an error.
    """
    for word in shlex.split(line):
        reference = WHOLE.fullmatch(word)
        if reference and reference[1] in row:
            yield from row[reference[1]]
        elif "${" in word:
            raise ParamsError(
                f"command of {stage} in {PIPELINE} must ask for ${{key}} or ${{item}}, got {word}"
            )
        else:
            yield word


def choose(steps: Sequence[Step], globs: Sequence[str]) -> list[Step]:
    """Steps whose ``STAGE`` or ``STAGE@ROW`` matches a glob, in order; all steps without globs.

    A glob that matches no step is refused.
    """
    for glob in globs:
        if not any(_matches(step, glob) for step in steps):
            raise ParamsError(f"STAGE must name stages of {PIPELINE}, got {glob}")
    return [step for step in steps if not globs or any(_matches(step, glob) for glob in globs)]


def _matches(step: Step, glob: str) -> bool:
    return any(fnmatchcase(name, glob) for name in (step.name, step.name.partition("@")[0]))


def _run(stage: str, command: Sequence[str]) -> None:
    words = [sys.executable if word == "python" else word for word in command]
    # Ctrl-C does not reach a new session of POSIX: the stage gets a single signal, from here.
    with subprocess.Popen(words, start_new_session=True) as process:
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            raise
    if status:
        raise DataError(f"stage {stage} must end with status 0, got {status}")
