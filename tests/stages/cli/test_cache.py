"""``usam cache``: what it prints, finds and refuses."""

import json
import os
import re
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stages.cli.app import app
from storage.store.verify import Damage, verify
from tests.fixtures.made_up_cell import extract, images_of, open_cell, rows_of


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete store, by a path short enough for a line."""
    monkeypatch.chdir(tmp_path)
    extract(Path())
    return Path("features/identity.zarr")


def cells_of(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


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
    assert any(line.startswith("size ") and line.endswith("B per object") for line in lines)
    assert any(line.startswith("mask_token object prompt token channel float32") for line in lines)


def test_info_tells_how_far_a_cell_in_the_making_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cell = open_cell(Path())
    features = cell.folder / "features.zarr"
    assert "0 of 3 shards done; incomplete" in usam("cache", "info", features).stdout
    cell.write_shard(0, rows_of(0), images_of((0, 0, 0))[0])
    assert "1 of 3 shards done; incomplete" in usam("cache", "info", features).stdout
    result = usam("cache", "info", "work")
    assert result.exit_code == 0
    headings, line, total = (cells_of(line) for line in result.stdout.splitlines() if line)
    assert headings == ["work folder", "kind", "of", "objects", "shards", "size", "state"]
    assert line[:2] == [str(cell.folder), "features, masks"]
    assert line[-3:-2] == ["1/3"]
    assert line[-1] == "in the making"
    assert total[0].startswith("1 work folder, ")
    (cell.folder / "marks" / "0.json").unlink()
    assert " 0/3 " in usam("cache", "info", "work").stdout


def test_info_of_a_folder_has_a_line_a_store_and_work_apart(features: Path) -> None:
    result = usam("cache", "info", features.parents[1])
    assert result.exit_code == 0
    published, total, work, work_total = result.stdout.split("\n\n")
    lines = [cells_of(line) for line in published.splitlines()]
    assert [line[0] for line in lines] == ["store", "features/identity.zarr", "masks/identity.zarr"]
    assert [line[1] for line in lines] == ["kind", "features", "masks"]
    assert [line[-1] for line in lines] == ["state", "complete", "complete"]
    assert lines[1][2:5] == ["1 view", "10", "3/3"]
    assert total.endswith(": 2 complete")
    (folder,) = (cells_of(line) for line in work.splitlines()[1:])
    assert folder[0].startswith("work/val/tiny/identity/")
    assert folder[-1] == "published"
    assert work_total.endswith(": 1 published\n")


def test_the_columns_of_info_are_aligned(features: Path) -> None:
    features.rename(features.with_name("a-much-longer-name-than-that-of-the-other-store.zarr"))
    lines = usam("cache", "info", ".").stdout.splitlines()[:3]
    places = [re.search(r"state|complete", line) for line in lines]
    assert len({place.start() for place in places if place}) == 1
    ends = [re.search(r"objects|(?<= )10(?= )", line) for line in lines]
    assert len({place.end() for place in ends if place}) == 1


NAMES = [
    "[/red]x.zarr",
    "[bold]x.zarr",
    "two\nlines.zarr",
    "\x1b[2J.zarr",
    os.fsdecode(b"\xff.zarr"),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_shown_as_it_is_or_escaped(features: Path, name: str) -> None:
    store = features.parent / name
    store.parent.mkdir(exist_ok=True)  # a closing tag has a slash
    features.rename(store)
    shown = f"features/{name}" if name.isprintable() else f"features/{ascii(name)[1:-1]}"
    for command, path in product(("info", "verify"), (store, features.parents[1])):
        result = usam("cache", command, path)
        assert result.exit_code == 0
        assert any(shown in line for line in result.stdout.splitlines())


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
        (("signature", "schema_version"), 0, "schema_version must be "),
    ],
    ids=["list", "long", "signature", "version"],
)
def test_a_damaged_store_is_named_in_its_line_and_the_others_are_shown(
    features: Path, keys: tuple[str, ...], value: object, why: str
) -> None:
    damage(features, *keys, value=value)
    result = usam("cache", "info", ".")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"features/identity\.zarr +damaged: " + re.escape(why) + ".*", lines[1])
    assert len(lines[1]) < 300
    assert cells_of(lines[2])[:2] == ["masks/identity.zarr", "masks"]
    assert ": 1 damaged, 1 complete" in result.stdout


@pytest.mark.usefixtures("features")
def test_a_damaged_store_of_a_work_folder_is_named() -> None:
    (store,) = Path("work").glob("*/*/*/*/masks.zarr")
    (store / "zarr.json").write_text("{")
    result = usam("cache", "info", ".")
    assert result.exit_code == 1
    assert "damaged: masks.zarr: must be a Zarr store, got none" in result.stdout


def test_info_names_missing_files(features: Path) -> None:
    (features / "iou/c.0.0.0").unlink()
    result = usam("cache", "info", features)
    assert result.exit_code == 0
    assert "3 of 3 shards done; missing iou/c.0.0.0; incomplete" in " ".join(result.stdout.split())
    overview = usam("cache", "info", ".").stdout.splitlines()
    assert overview[1].endswith("  incomplete: missing iou/c.0.0.0")


def test_verify_says_that_stores_are_intact(features: Path) -> None:
    result = usam("cache", "verify", features.parents[1])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == [
        "intact   features/identity.zarr",
        "intact   masks/identity.zarr",
    ]
    assert result.stdout.endswith("\n4 stores: 4 intact, 0 damaged\n")


def test_verify_lists_damage_and_fails(features: Path) -> None:
    (features / "iou/c.0.0.0").unlink()
    chunk = features / "done/c.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    result = usam("cache", "verify", "features")
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "damaged features/identity.zarr"
    assert "iou c.0.0.0 missing" in lines
    n_bytes = chunk.stat().st_size
    assert f"done c.0 {n_bytes + 1} bytes -> {n_bytes}" in lines


def test_verify_quick_looks_at_sizes_alone(features: Path) -> None:
    chunk = features / "done/c.0"
    chunk.write_bytes(bytes(chunk.stat().st_size))
    assert usam("cache", "verify", "features", "--quick").exit_code == 0
    assert usam("cache", "verify", "features").exit_code == 1
    chunk.unlink()
    result = usam("cache", "verify", "features", "--quick")
    assert result.exit_code == 1
    assert re.search(r"done +c\.0 +missing", result.stdout)


def test_migrate_says_which_stores_it_brought_up_and_which_it_could_not(features: Path) -> None:
    for store in (features, Path("masks/identity.zarr")):
        shutil.rmtree(store / "manifest")
        text = (store / "zarr.json").read_text()
        (store / "zarr.json").write_text(text.replace('"schema_version": 2', '"schema_version": 1'))
    shutil.rmtree("masks/identity.zarr/probability")
    refused = usam("cache", "info", features)
    assert refused.stderr == (
        f"error: {features}: schema_version must be 2, got 1; "
        f"`usam cache migrate {features}` brings it there\n"
    )
    result = usam("cache", "migrate", ".")
    assert result.exit_code == 1
    assert result.stdout == (
        "migrated  features/identity.zarr\n"
        "refused   masks/identity.zarr: must have the arrays probability of the present schema, "
        "got a store of extract_version None without; make it again\n"
    )
    result = usam("cache", "migrate", "features")
    assert (result.exit_code, result.stdout) == (0, "current   features/identity.zarr\n")


def test_verify_goes_on_after_damaged_metadata_and_lists_it_last(features: Path) -> None:
    (features / "zarr.json").write_text("{")
    result = usam("cache", "verify", ".")
    assert result.exit_code == 1
    *intact, damaged, why, total = result.stdout.splitlines()
    assert len(intact) == 3
    assert damaged == "damaged  features/identity.zarr"
    assert why.split()[:7] == ["metadata", "zarr.json", "must", "be", "a", "Zarr", "store,"]
    assert total == "4 stores: 3 intact, 1 damaged"


def test_an_interrupted_verify_tells_what_it_found(
    features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(
        store: Path, advance: Callable[[int], None], *, sizes_only: bool
    ) -> list[Damage]:
        if store.parts[0] == "masks":
            raise KeyboardInterrupt
        return verify(store, advance, sizes_only=sizes_only)

    monkeypatch.setattr("stages.cli.cache.verify", interrupted)
    (features / "iou/c.0.0.0").unlink()
    result = usam("cache", "verify", ".")
    assert result.exit_code == 130
    assert result.stdout.startswith("damaged  features/identity.zarr\n")


def test_an_error_is_one_line(features: Path) -> None:
    (features / "zarr.json").write_text("{")
    result = usam("cache", "info", features)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: features/identity.zarr must be a Zarr store, got none")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_folder_without_stores_is_refused(command: str, tmp_path: Path) -> None:
    result = usam("cache", command, tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {tmp_path} must be a store or hold some, got none\n"


def test_both_groups_of_commands_have_help() -> None:
    for arguments in ((), ("cache",), ("checkpoints",)):
        assert "Usage" in usam(*arguments, "--help").stdout
