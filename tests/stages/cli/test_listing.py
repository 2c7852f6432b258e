"""``usam cache ls``: a line for each cell and other store, or all of one."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stages.cli.app import app
from storage.split.objects import write_objects
from tests.fixtures.made_up_cell import images_of, open_cell, rows_of
from tests.fixtures.made_up_objects import table_of

FEATURES = Path("features/identity.zarr")


@pytest.fixture(autouse=True)
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete cell, its work gone, as the working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def ls(*places: object) -> Result:
    return CliRunner().invoke(app, ["cache", "ls", *map(str, places)])


def lines_of(result: Result) -> list[list[str]]:
    return [re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines()]


def placed(root: Path) -> list[Path]:
    """The complete cell where a cache has it."""
    stores = [root / kind / "val/tiny/identity.zarr" for kind in ("features", "masks")]
    for store in stores:
        store.parent.mkdir(parents=True)
        Path(store.parts[-4], "identity.zarr").rename(store)
    return stores


def test_all_that_a_store_says() -> None:
    result = ls(FEATURES)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "features/identity.zarr"
    assert "kind features, published" in lines
    assert "completeness 3 of 3 shards done; complete" in lines
    assert "signature.precision fp32" in lines
    assert any(line.startswith("dimensions object 10, prompt 2,") for line in lines)
    assert any(line.startswith("size ") and line.endswith("B per object") for line in lines)
    assert any(line.startswith("mask_token object prompt token channel float32") for line in lines)
    two = ls(FEATURES, f"file://{FEATURES.absolute()}")
    assert two.stdout.startswith(f"{result.stdout}\nfile:///")


def test_a_store_in_the_making_says_how_far_it_is() -> None:
    cell = open_cell(Path())
    features = cell.folder / "features.zarr"
    assert "0 of 3 shards done; incomplete" in ls(features).stdout
    cell.write_shard(0, rows_of(0), images_of((0, 0, 0))[0])
    assert "1 of 3 shards done; incomplete" in ls(features).stdout
    (FEATURES / "iou/c.0.0.0").unlink()
    said = " ".join(ls(FEATURES).stdout.split())
    assert "3 of 3 shards done; missing iou/c.0.0.0; incomplete" in said


def test_a_folder_has_a_line_a_cell_published_or_in_the_making_and_a_store_of_other_kinds() -> None:
    write_objects(Path("objects/val.zarr"), table_of(), {"split": "val"})
    cell = open_cell(Path(), split="val", model="tiny", view="vflip")
    cell.write_shard(0, rows_of(0), images_of((0,))[0])
    result = ls(".")
    assert result.exit_code == 0
    headings, features, masks, objects, begun, _, total = lines_of(result)
    assert headings == [
        *("cell or store", "objects", "prompts", "size"),
        *("family", "device", "extract", "schema", "state"),
    ]
    # The made-up signature names no cell.
    assert features[:3] == ["features/identity.zarr", "10/10", "2"]
    assert masks[:3] == ["masks/identity.zarr", "10/10", "2"]
    assert masks[-2:] == ["current", "complete"]
    assert objects[:2] == ["objects/val.zarr", "12/12"]
    assert objects[2].startswith("objects ")
    assert begun[:3] == ["val/tiny/vflip", "4/10", "2"]
    assert re.match("features .*B, masks .*B", begun[3])
    assert begun[-2:] == ["current", "in the making"]
    assert re.fullmatch(r".*B in all: 3 complete, 1 in the making", total[0])
    (cell.folder / "marks" / "0.json").unlink()
    assert " 0/10 " in ls("work").stdout
    (cell.folder / "published").touch()
    assert lines_of(ls("work"))[1][-1] == "published"


def test_an_earlier_schema_is_to_be_migrated() -> None:
    metadata = FEATURES / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"schema_version": 2', '"schema_version": 1'))
    result = ls("features")
    assert result.exit_code == 0
    assert "1, current is 2  to be migrated" in result.stdout
    assert result.stdout.endswith(": 1 to be migrated\n")


def test_the_columns_are_aligned() -> None:
    FEATURES.rename(FEATURES.with_name("a-much-longer-name-than-that-of-the-other-store.zarr"))
    lines = ls(".").stdout.splitlines()[:3]
    places = [re.search(r"state|complete", line) for line in lines]
    assert len({place.start() for place in places if place}) == 1
    ends = [re.search(r"objects|10/10", line) for line in lines]
    assert len({place.end() for place in ends if place}) == 1


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
        (("kind",), "z" * 5000, "kind must be one of objects, features, masks, entropy, got 'zz"),
        (("signature",), "none", "signature must be a mapping, got 'none'"),
        (("signature", "schema_version"), 0, "features: schema_version must be "),
    ],
    ids=["list", "long", "signature", "version"],
)
def test_a_damaged_store_is_named_in_its_line_and_the_others_are_shown(
    keys: tuple[str, ...], value: object, why: str
) -> None:
    damage(FEATURES, *keys, value=value)
    result = ls(".")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert re.match(r"features/identity\.zarr .*  damaged: " + re.escape(why), lines[1])
    assert len(lines[1]) < 350
    assert lines[2].startswith("masks/identity.zarr ")
    assert result.stdout.endswith(": 1 damaged, 1 complete\n")


def test_missing_files_are_named() -> None:
    (FEATURES / "iou/c.0.0.0").unlink()
    result = ls(".")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].endswith("  incomplete: missing iou/c.0.0.0")


@pytest.mark.parametrize("text", [None, "garbage"])
def test_no_cell_is_complete_of_which_a_store_cannot_be_read(
    tmp_path: Path, text: str | None
) -> None:
    for store in placed(Path("cache")):
        lost = store / "zarr.json"
        lost.write_text(text) if text else lost.unlink()
    cell = open_cell(Path("cache"), split="val", model="tiny", view="identity")
    (cell.folder / "masks.zarr/zarr.json").write_text("garbage")
    result = ls()
    assert result.exit_code == 1
    published, begun = sorted(lines_of(result)[1:3], key=len)
    assert published[0] == begun[0] == "val/tiny/identity"
    assert "damaged: features: must be a Zarr store, got none" in published[-1]
    assert "; masks: must be a Zarr store, got none" in published[-1]
    assert begun[-1].startswith("damaged: masks: must be a Zarr store, got none")
    (tmp_path / "lost.zarr").mkdir()
    assert "lost.zarr" in [line[0] for line in lines_of(ls("."))]
