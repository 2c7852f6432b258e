"""``extract.compile``: who extracts compiles once a model, and the cell says so."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import storage
from pipeline.sam.compiling import CompilerError
from pipeline.sam.model import Sam
from stages import extract
from stages.extraction.models import kept_model
from storage.paths import CACHE, features_path
from tests.fixtures.extract_project import CELL, SPLIT, draw_project, refused, run, write_params


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sam]]:
    """Models that are to be compiled, which would take too long."""
    monkeypatch.chdir(tmp_path)
    kept_model.cache_clear()  # as in a process of its own
    draw_project(n_objects=1, compile=True)
    asked: list[Sam] = []

    def note(sam: Sam) -> None:
        asked.append(sam)

    monkeypatch.setattr(Sam, "compile", note)
    yield asked
    kept_model.cache_clear()


def test_a_model_is_compiled_once_and_its_cells_say_so(
    compiled: list[Sam], capsys: pytest.CaptureFixture[str]
) -> None:
    run(extract, *CELL)
    run(extract, SPLIT, "tiny", "vflip")
    assert len(compiled) == 1
    assert "note: tiny is compiled first, which takes minutes\n" in capsys.readouterr().err
    signature = storage.open_features(features_path(*CELL)).attrs["signature"]
    assert signature["compile"] is True
    shutil.rmtree(CACHE / "features")  # as DVC does before it runs a stage again
    shutil.rmtree(CACHE / "masks")
    write_params()
    run(extract, *CELL)
    assert len(compiled) == 1
    assert "compile" not in storage.open_features(features_path(*CELL)).attrs["signature"]


@pytest.mark.usefixtures("compiled")
def test_a_missing_compiler_is_named_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: Sam) -> None:
        raise CompilerError("compile must have a C++ compiler on a CPU, got none")

    monkeypatch.setattr(Sam, "compile", missing)
    assert refused(capsys) == "extract.compile must have a C++ compiler on a CPU, got none"
