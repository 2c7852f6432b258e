"""Stages read their cells at an address, and make the same bytes of them as of a copy here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from stages.settings.params import CACHE_VARIABLE
from storage.split import mask_blocks
from storage.store.mask_chunks import read_spans
from tests.fixtures.doc_pages import block
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.repository import publish
from tests.fixtures.stage_inputs import CASES, VAL, write_masked_split

pytestmark = pytest.mark.slow

KINDS = ("objects", "features", "masks")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


def moved(root: Path) -> Path:
    """Take the cells out of the project."""
    away = root.parent / "away"
    for kind in KINDS:
        if (root / "cache" / kind).exists():
            shutil.move(root / "cache" / kind, away / kind)
    return away


@pytest.mark.parametrize("name", CASES)
def test_a_stage_makes_the_same_of_cells_elsewhere(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    case = CASES[name]
    case.write()
    wanted = case.run(monkeypatch)
    memory = fsspec.filesystem("memory")
    memory.put(str(moved(root)), f"/{name}", recursive=True)
    monkeypatch.setenv(CACHE_VARIABLE, f"memory://{name}")
    before = set(root.rglob("*"))
    assert case.run(monkeypatch) == wanted
    assert set(root.rglob("*")) == before


@pytest.mark.parametrize(("window_bytes", "n_windows"), [(4000, 7), (2**25, 3)])
def test_windows_of_any_size_give_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch, window_bytes: int, n_windows: int
) -> None:
    write_masked_split()
    wanted = CASES["entropy"].run(monkeypatch)
    seen: list[range] = []

    def seen_spans(*given: object) -> list[list[memoryview]]:
        assert isinstance(given[2], range)
        seen.append(given[2])
        return read_spans(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("storage.store.mask_chunks.read_spans", seen_spans)
    monkeypatch.setattr(mask_blocks, "WINDOW_BYTES", window_bytes)
    monkeypatch.setattr("storage.split.mask_blocks.BLOCK_BYTES", 1)
    fsspec.filesystem("memory").put(str(moved(root)), f"/{window_bytes}", recursive=True)
    monkeypatch.setenv(CACHE_VARIABLE, f"memory://{window_bytes}")
    assert CASES["entropy"].run(monkeypatch) == wanted
    assert sum(len(run) for run in seen) == 7  # each object once
    assert len(seen) == n_windows


def test_entropies_come_straight_out_of_a_repository(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_masked_split()
    wanted = CASES["entropy"].run(monkeypatch)
    repository = root.parent / "repository"
    publish(moved(root), KINDS, repository, remote=root.parent / "remote")
    shutil.rmtree("cache")
    recipe = block("USAM_CACHE=").replace("coco_val", VAL).replace("https://github.com/ann", "")
    command = recipe.replace("/usam@v1", f"{repository}@main")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}
    subprocess.run(["bash", "-ec", command], check=True, env=environment, capture_output=True)
    assert CASES["entropy"].files() == wanted
