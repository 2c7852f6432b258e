"""Files of DVC that a kill left torn are mended, and no others are touched."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final
from unittest.mock import Mock

import pytest
import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc_data.hashfile.meta import Meta
from typer.testing import CliRunner
from voluptuous import MultipleInvalid

from stages.cli.app import app
from stages.program.mend import LOCK, READERS, STATE, mend

WHOLE: Final = """\
schema: '2.0'
stages:
  shapes:
    cmd: python -m stages.shapes
    deps:
    - path: stages/shapes.py
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 7
    params:
      params.yaml:
        shapes:
          seed: 1
    outs:
    - path: data/shapes
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
      nfiles: 3
  runtime:
    cmd: python -m stages.runtime
"""


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which DVC has run, as the working directory."""
    monkeypatch.chdir(tmp_path)
    STATE.mkdir(parents=True)


def is_read_by_dvc(text: str) -> bool:
    """Whether DVC takes the text of a ``dvc.lock``."""
    try:
        lock = COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(text))
    except (MultipleInvalid, yaml.YAMLError):
        return False
    entries = [
        e for stage in lock["stages"].values() for k in ("deps", "outs") for e in stage.get(k, ())
    ]
    # DVC takes the digest from a field of this name: without it, it ends with "unexpected error".
    return all(hasattr(Meta(), entry.get("hash") or "md5") for entry in entries)


@pytest.mark.no_cover
def test_a_lock_that_is_cut_anywhere_is_left_only_where_dvc_reads_it() -> None:
    for end in range(len(WHOLE)):
        LOCK.write_text(WHOLE[:end])
        mend()
        assert not LOCK.exists() or is_read_by_dvc(LOCK.read_text()), end
    LOCK.write_text(WHOLE)
    mend()
    assert LOCK.read_text() == WHOLE


@pytest.mark.parametrize(("text", "is_left"), [("", False), ('{"read": {"/x', False), ("{}", True)])
def test_a_torn_table_of_readers_is_removed(text: str, is_left: bool) -> None:
    READERS.write_text(text)
    mend()
    assert READERS.exists() == is_left


def test_usam_run_mends_first() -> None:
    LOCK.write_text("")
    result = CliRunner().invoke(app, ["run"])
    assert result.stderr.startswith(
        "note: dvc.lock, which a kill had left half-written, was removed\n"
    )
    assert not LOCK.exists()


def test_a_disk_without_locks_is_named_and_nothing_is_touched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Lustre mounted without ``flock``, which is its default."""
    fault = OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=fault))
    for path in (LOCK, READERS):
        path.write_text("")
    mend()
    assert capsys.readouterr().err.splitlines() == [
        f"note: {path} is half-written and stays so: its disk has no locks (flock: Function not "
        f"implemented), so that a DVC may be writing it; if none runs, `rm {path}`"
        for path in (READERS, LOCK)
    ]
    assert LOCK.read_text() == READERS.read_text() == ""
    LOCK.write_text(WHOLE)
    READERS.unlink()
    mend()
    assert capsys.readouterr().err == "", "whole files need no lock"
