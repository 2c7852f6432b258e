"""A project that awaits extraction."""

import shutil
from contextlib import chdir
from pathlib import Path

import pytest

from stages import extract
from tests.fixtures.extract_project import CELL, draw_project, outputs, run
from tests.fixtures.fill_command import SHARD_OBJECTS


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that awaits extraction."""
    root = tmp_path_factory.mktemp("prepared")
    with chdir(root):
        draw_project(n_objects=8, shard_objects=SHARD_OBJECTS)
    return root


@pytest.fixture(scope="session")
def wanted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Outputs of a cell that one process extracted, undisturbed."""
    root = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(prepared, root, dirs_exist_ok=True)
    with chdir(root):
        run(extract, *CELL)
        return outputs()


@pytest.fixture(autouse=True)
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the prepared project, as the working directory."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
