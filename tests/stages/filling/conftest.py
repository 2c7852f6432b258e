"""A project ready for ``extract`` in the working directory."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def wanted(undisturbed: tuple[dict[str, bytes], float]) -> dict[str, bytes]:
    """Outputs of a cell that a single process extracted, undisturbed."""
    return undisturbed[0]


@pytest.fixture(autouse=True)
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the prepared project in the working directory."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
