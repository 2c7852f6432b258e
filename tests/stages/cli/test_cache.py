"""``usam cache``: what it prints, finds and refuses."""

import os
import re
import shutil
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stages.cli.app import app
from storage.split.object_table import write_objects
from storage.store.schema import SCHEMA_VERSION
from tests.fixtures.earlier_store import edit_root
from tests.fixtures.made_up_cell import extract
from tests.fixtures.made_up_objects import table_of

FEATURES = Path("features/identity.zarr")


@pytest.fixture
def features(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete store, by a path short enough for a line."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return FEATURES


def usam(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_name_is_shown_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Path("objects", os.fsdecode(b"[/red]\x1b[2J\n\xff.zarr"))
    write_objects(store, table_of(), {"split": "val"})
    for command, path in product(("ls", "verify"), (store, ".")):
        result = usam("cache", command, path)
        assert result.exit_code == 0
        assert r"objects/[/red]\x1b[2J\n\udcff.zarr" in result.stdout


def test_verify_says_that_stores_are_intact_those_in_the_making_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    extract(Path())
    result = usam("cache", "verify", ".")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == [
        "intact   features/identity.zarr",
        "intact   masks/identity.zarr",
    ]
    assert result.stdout.endswith("\n2 stores: 2 intact, 0 damaged\n")


def test_verify_lists_damage_and_fails(features: Path) -> None:
    (features / "iou/c.0.0.0").unlink()
    chunk = features / "token/c.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    result = usam("cache", "verify", "features")
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "damaged features/identity.zarr"
    assert "iou/c.0.0.0 missing" in lines
    n_bytes = chunk.stat().st_size
    assert f"token/c.0 {n_bytes + 1} bytes -> {n_bytes}" in lines


def lines_of(result: Result) -> list[list[str]]:
    return [re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("features")
def test_ls_prints_all_that_a_store_says() -> None:
    result = usam("cache", "ls", FEATURES)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "features/identity.zarr"
    assert "kind features" in lines
    assert "completeness complete" in lines
    assert "signature.precision fp32" in lines
    assert any(line.startswith("dimensions object 10, prompt 2,") for line in lines)
    assert any(line.startswith("size ") and line.endswith("B per object") for line in lines)
    two = usam("cache", "ls", FEATURES, f"file://{FEATURES.absolute()}")
    assert two.stdout.startswith(f"{result.stdout}\nfile:///")


@pytest.mark.usefixtures("features")
def test_ls_names_damaged_and_incomplete_stores(tmp_path: Path) -> None:
    edit_root(FEATURES, lambda root: root["attributes"]["signature"].update(schema_version=2))
    (tmp_path / "lost.zarr").mkdir()
    next(tmp_path.glob("masks/identity.zarr/mask_code/c.*")).unlink()
    result = usam("cache", "ls", ".")
    assert result.exit_code == 1
    *_, total = lines = lines_of(result)
    told = {line[0]: line[-1] for line in lines}
    assert told[str(FEATURES)].startswith(
        f"damaged: schema_version must be {SCHEMA_VERSION}, got 2"
    )
    assert told["lost.zarr"].startswith("damaged: must be a Zarr store, got none")
    assert told["masks/identity.zarr"].startswith("incomplete: missing or cut short mask_code/c.")
    assert total[0].endswith(" in all: 2 damaged, 1 incomplete")
