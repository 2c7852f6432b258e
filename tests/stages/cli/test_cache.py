"""``usam cache``: what it prints, finds and refuses."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stages.cli.app import app
from tests.fixtures.made_up_cell import extract, images_of, open_cell, rows_of


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete store, by a path short enough for a line."""
    monkeypatch.chdir(tmp_path)
    extract(Path())
    return Path("features/identity.zarr")


def usam(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_info_tells_what_is_in_a_store(features: Path) -> None:
    result = usam("cache", "info", features)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "features/identity.zarr"
    assert "kind features, published" in lines
    assert "completeness 3 of 3 shards done; complete" in lines
    assert "signature.precision fp32" in lines
    assert any(line.startswith("dimensions object 10, prompt 2,") for line in lines)
    assert any(line.startswith("size ") and line.endswith("B an object") for line in lines)
    assert any(line.startswith("mask_token object prompt token channel float32") for line in lines)


def test_info_tells_how_far_a_cell_in_the_making_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_cell(Path()) as cell:
        assert "0 of 3 shards done; incomplete" in usam("cache", "info", cell.folder).stdout
        cell.write_shard(0, rows_of(0), images_of((0, 0, 0))[0])
    assert "1 of 3 shards done; incomplete" in usam("cache", "info", "work").stdout


def test_info_names_missing_files(features: Path) -> None:
    (features / "iou/c.0.0.0").unlink()
    result = usam("cache", "info", features)
    assert result.exit_code == 0
    assert "1 files missing: iou/c.0.0.0; incomplete" in " ".join(result.stdout.split())


def test_verify_says_that_stores_are_intact(features: Path) -> None:
    result = usam("cache", "verify", features.parents[1])
    assert result.exit_code == 0
    assert "features/identity.zarr is intact\n" in result.stdout
    assert "masks/identity.zarr is intact\n" in result.stdout


def test_verify_lists_damage_and_fails(features: Path) -> None:
    (features / "iou/c.0.0.0").unlink()
    chunk = features / "done/c.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    result = usam("cache", "verify", "features")
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "features/identity.zarr has 2 damages"
    assert "iou c.0.0.0 missing" in lines
    assert any(line.startswith("done c.0 Zstd decompression error") for line in lines)


@pytest.mark.parametrize("command", ["info", "verify"])
def test_an_error_is_one_line(features: Path, command: str) -> None:
    (features / "zarr.json").write_text("{")
    result = usam("cache", command, features)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: features/identity.zarr must be a Zarr store, got none")
    assert result.stderr.count("\n") == 1
    assert usam("cache", command, "nowhere").exit_code == 1


def test_both_groups_of_commands_have_help() -> None:
    for arguments in ((), ("cache",), ("checkpoints",)):
        assert "Usage" in usam(*arguments, "--help").stdout
