"""``python -m stages.program.mend``: repairs files of DVC that a kill left half-written.

DVC writes ``dvc.lock`` and its table of readers and writers in place, and runs no stage while one
of them is half-written. If ``dvc.lock`` lacks a finished stage, ``dvc repro`` takes it from DVC's
run cache.
"""

import fcntl
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from yaml import YAMLError

from stages.program.main import reported_errors

LOCK: Final = Path("dvc.lock")
"""DVC's file with the digest of each file that each stage has read and written."""

STATE: Final = Path(".dvc/tmp")
"""Folder of DVC's own files in a clone."""

READERS: Final = STATE / "rwlock"
"""DVC's table of the processes that are reading or writing each file."""


def mend() -> None:
    """Remove a half-written table of readers; restore a half-written ``dvc.lock`` from Git.

    If Git has no whole ``dvc.lock``, it is removed. A note tells about each change. Nothing is done
    where DVC never ran.
    """
    if STATE.is_dir():
        _mend(READERS, STATE / "rwlock.lock", _is_json, lambda: b"")
        _mend(LOCK, STATE / "lock", _is_lock, _last_commit)


def _mend(
    path: Path, guard: Path, is_whole: Callable[[bytes], bool], restore: Callable[[], bytes]
) -> None:
    """Replace a half-written file by the content from ``restore``; remove it if that is empty.

    DVC's lock ``guard`` is held meanwhile, since DVC may be writing the file. On a disk without
    locks, as Lustre by default, the file stays, and a note says so.
    """
    if not path.exists() or is_whole(path.read_bytes()):
        return
    with guard.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            print(
                f"note: {path} is half-written and stays so: its disk has no locks (flock: "
                f"{error.strerror}), so that a DVC may be writing it; if none runs, `rm {path}`",
                file=sys.stderr,
            )
            return
        if path.exists() and not is_whole(path.read_bytes()):
            _replace(path, restore())


def _replace(path: Path, content: bytes) -> None:
    if content:
        path.write_bytes(content)
    else:
        path.unlink()
    source = "has that of the last commit again" if content else "was removed"
    print(f"note: {path}, which a kill had left half-written, {source}", file=sys.stderr)


@dataclass
class _File:
    path: str
    hash: Literal["md5"] = "md5"
    md5: Annotated[str, Field(min_length=32)] = ""
    size: int = 0
    nfiles: int = 0


@dataclass
class _Stage:
    cmd: str | list[str]
    deps: list[_File] = field(default_factory=list)
    params: dict[str, dict[str, object]] = field(default_factory=dict)
    outs: list[_File] = field(default_factory=list)


@dataclass
class _Lock:
    """Form that DVC requires of a ``dvc.lock``; a kill may have cut the file off anywhere."""

    schema: str
    stages: dict[str, _Stage]


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _is_lock(content: bytes) -> bool:
    # libyaml's loader, some fifty times faster; a PyYAML built from source may lack it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        lock = yaml.load(content, Loader=loader)  # noqa: S506 - both are safe
        TypeAdapter(_Lock).validate_python(lock)
    except (YAMLError, ValidationError):
        return False
    return True


def _last_commit() -> bytes:
    """Content of ``dvc.lock`` in the last commit; empty if it has none or Git is not installed."""
    try:
        shown = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    return shown.stdout if shown.returncode == 0 and _is_lock(shown.stdout) else b""


if __name__ == "__main__":
    with reported_errors():
        mend()
