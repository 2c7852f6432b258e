"""A complete cell, which the tests of stores and of their files share."""

import shutil
from pathlib import Path

import pytest

from tests.fixtures.made_up_cell import extract


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a complete cell; tests that break it copy it."""
    root = tmp_path_factory.mktemp("made")
    extract(root)
    shutil.rmtree(root / "pool")
    return root
