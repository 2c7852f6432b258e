"""``usam cache ls``: a line for each store, or all of one."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stages.cli.app import app
from storage.split.objects import write_objects
from tests.fixtures.earlier_store import edit_root
from tests.fixtures.made_up_cell import extract
from tests.fixtures.made_up_objects import table_of

FEATURES = Path("features/identity.zarr")


@pytest.fixture(autouse=True)
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete cell, and its shards in a pool, as the working directory."""
    monkeypatch.chdir(tmp_path)
    extract(Path())


def ls(*places: object) -> Result:
    return CliRunner().invoke(app, ["cache", "ls", *map(str, places)])


def lines_of(result: Result) -> list[list[str]]:
    return [re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines()]


def test_all_that_a_store_says() -> None:
    result = ls(FEATURES)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "features/identity.zarr"
    assert "kind features" in lines
    assert "completeness complete" in lines
    assert "signature.precision fp32" in lines
    assert any(line.startswith("dimensions object 10, prompt 2,") for line in lines)
    assert any(line.startswith("size ") and line.endswith("B per object") for line in lines)
    two = ls(FEATURES, f"file://{FEATURES.absolute()}")
    assert two.stdout.startswith(f"{result.stdout}\nfile:///")


def test_a_folder_has_a_line_for_each_store_and_none_for_the_pool() -> None:
    write_objects(Path("objects/val.zarr"), table_of(), {"split": "val"})
    result = ls(".")
    assert result.exit_code == 0
    headings, features, masks, objects, _, total = lines_of(result)
    assert headings == [
        *("store", "objects", "prompts", "size"),
        *("family", "device", "extract", "state"),
    ]
    assert features[:3] == ["features/identity.zarr", "10", "2"]
    assert features[4] == "mini"
    assert masks[0] == "masks/identity.zarr"
    assert objects[:2] == ["objects/val.zarr", "12"]
    assert {line[-1] for line in (features, masks, objects)} == {"complete"}
    assert all(line[3 - (line is objects)].endswith("B") for line in (features, masks, objects))
    assert re.fullmatch(r".*B in all: 3 complete", total[0])


def test_an_earlier_schema_is_named() -> None:
    edit_root(FEATURES, lambda root: root["attributes"]["signature"].update(schema_version=2))
    result = ls("features")
    assert result.exit_code == 1
    assert "  damaged: schema_version must be 3, got 2" in result.stdout


def damage(store: Path, *keys: str, value: object) -> None:
    """Change one entry of a store's metadata."""
    path = store / "zarr.json"
    metadata = json.loads(path.read_text("utf-8"))
    entry = metadata["attributes"]
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = value
    path.write_text(json.dumps(metadata), "utf-8")


@pytest.mark.parametrize(
    ("keys", "value", "why"),
    [
        (("kind",), ["features"], "kind must be one of objects, features, masks, entropy, got ['"),
        (("signature", "schema_version"), 0, "schema_version must be "),
    ],
    ids=["list", "version"],
)
def test_a_damaged_store_is_named_in_its_line_and_the_others_are_shown(
    keys: tuple[str, ...], value: object, why: str
) -> None:
    damage(FEATURES, *keys, value=value)
    result = ls(".")
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if f"  damaged: {why}" in line]
    assert len(line) < 350
    assert result.stdout.splitlines()[-1].endswith(": 1 damaged, 1 complete")


def test_missing_files_are_named() -> None:
    (FEATURES / "iou/c.0.0.0").unlink()
    result = ls(".")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].endswith("  incomplete: missing or cut short iou/c.0.0.0")


@pytest.mark.parametrize("text", [None, "garbage"])
def test_no_store_is_complete_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    lost = FEATURES / "zarr.json"
    lost.write_text(text) if text else lost.unlink()
    (tmp_path / "lost.zarr").mkdir()
    result = ls(".")
    assert result.exit_code == 1
    told = {line[0]: line[-1] for line in lines_of(result)}
    for name in ("features/identity.zarr", "lost.zarr"):
        assert told[name].startswith("damaged: must be a Zarr store, got none")
