"""``usam cache``: what it prints, finds and refuses."""

import os
import re
import shutil
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stages.cli.app import app
from storage.split.objects import write_objects
from storage.store.describe import verify
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


NAMES = [
    "[/red]x.zarr",
    "[bold]x.zarr",
    "two\nlines.zarr",
    "\x1b[2J.zarr",
    os.fsdecode(b"\xff.zarr"),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_shown_as_it_is_or_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Path("objects", name)  # a closing tag has a slash
    write_objects(store, table_of(), {"split": "val"})
    shown = f"objects/{name}" if name.isprintable() else f"objects/{ascii(name)[1:-1]}"
    for command, path in product(("ls", "verify"), (store, ".")):
        result = usam("cache", command, path)
        assert result.exit_code == 0
        assert any(shown in line for line in result.stdout.splitlines())


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


def test_verify_quick_looks_at_sizes_alone(features: Path) -> None:
    chunk = features / "token/c.0"
    chunk.write_bytes(bytes(chunk.stat().st_size))
    assert usam("cache", "verify", "features", "--quick").exit_code == 0
    assert usam("cache", "verify", "features").exit_code == 1
    chunk.unlink()
    result = usam("cache", "verify", "features", "--quick")
    assert result.exit_code == 1
    assert re.search(r"token/c\.0 +missing", result.stdout)


def test_verify_goes_on_after_damaged_metadata_and_lists_it_last(features: Path) -> None:
    (features / "zarr.json").write_text("{")
    result = usam("cache", "verify", ".")
    assert result.exit_code == 1
    *intact, damaged, why, total = result.stdout.splitlines()
    assert len(intact) == 1
    assert damaged == "damaged  features/identity.zarr"
    assert why.split()[:6] == ["zarr.json", "must", "be", "a", "Zarr", "store,"]
    assert total == "2 stores: 1 intact, 1 damaged"


def test_an_interrupted_verify_tells_what_it_found(
    features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(store: Path, *, sizes_only: bool) -> dict[str, str]:
        if store.parts[0] == "masks":
            raise KeyboardInterrupt
        return verify(store, sizes_only=sizes_only)

    monkeypatch.setattr("stages.cli.cache.verify", interrupted)
    (features / "iou/c.0.0.0").unlink()
    result = usam("cache", "verify", ".")
    assert result.exit_code == 130
    assert result.stdout.startswith("damaged  features/identity.zarr\n")


@pytest.mark.parametrize("command", ["ls", "verify"])
def test_a_folder_without_stores_is_refused(command: str, tmp_path: Path) -> None:
    result = usam("cache", command, tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {tmp_path} must be a store or hold some, got none\n"


@pytest.mark.usefixtures("features")
@pytest.mark.parametrize("store", [str(FEATURES), "s3://lab/cache"])
def test_a_store_or_an_address_is_not_compared_with_a_folder_of_stores(store: str) -> None:
    for pair in ((store, "features"), ("features", store)):
        result = usam("cache", "diff", *pair)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: ONE and OTHER must be two stores, or two folders")
        assert f"a store at {store}" in result.stderr
        assert "a folder of stores at features" in result.stderr


@pytest.mark.usefixtures("features")
def test_diff_of_two_stores_and_of_two_folders() -> None:
    shutil.copytree("features", "others/features")
    result = usam("cache", "diff", FEATURES, "others/features/identity.zarr")
    assert (result.exit_code, result.stdout[:4]) == (0, "same")
    Path("others/more").mkdir()
    shutil.copytree("masks/identity.zarr", "others/features/vflip.zarr")
    result = usam("cache", "diff", "features", "others/features")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "same     identity.zarr",
        "alone    others/features/vflip.zarr",
    ]
    extract(Path("again"), (0, 7, 0))
    result = usam("cache", "diff", ".", ".")
    assert result.exit_code == 0, "a pool holds no stores"
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"same"}
    result = usam("cache", "diff", FEATURES, "again/features/identity.zarr")
    assert result.exit_code == 1
    assert re.search(r"iou +4 of 10 rows differ, by at most 0\.\d+", result.stdout)
    result = usam("cache", "diff", FEATURES, "masks/identity.zarr")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "must be of kind features, got masks" in result.stderr


@pytest.mark.usefixtures("features")
def test_a_zipped_store_is_verified_listed_and_compared() -> None:
    shutil.make_archive("cell", "zip", FEATURES)
    assert usam("cache", "verify", "cell.zip").stdout.splitlines() == ["intact   cell.zip"]
    assert "kind features" in " ".join(usam("cache", "ls", "cell.zip").stdout.split())
    assert usam("cache", "diff", FEATURES, "cell.zip").exit_code == 0
    address = f"file://{FEATURES.absolute()}"
    same = usam("cache", "diff", "cell.zip", address)
    assert same.stdout == f"same     cell.zip {address}\n"
    assert usam("cache", "verify", address).stdout == f"intact   {address}\n"
    assert usam("cache", "ls", address).stdout.startswith(f"{address}\nkind ")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("gopher://lab/x.zarr", "scheme of gopher://lab/x.zarr must be one of dvc, s3, "),
        ("dvc://lab/x.zarr", "address must be dvc://REPOSITORY@REVISION/PATH, got dvc://lab/x.z"),
        ("file:///nowhere/x.zarr", "file:///nowhere/x.zarr must be a Zarr store, got none"),
    ],
)
def test_an_address_that_cannot_be_read_is_an_error_and_no_damage(
    address: str, message: str
) -> None:
    result = usam("cache", "verify", address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1


def test_what_takes_paths_alone_makes_no_folder_of_an_address() -> None:
    result = usam("cache", "repair", "s3://lab/x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "must be a store or hold some, got none" in result.stderr
    assert not Path("s3:").exists()
