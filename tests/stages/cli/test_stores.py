"""``usam cache ls``, ``diff``, ``pack`` and ``unpack``: what they print, write and refuse."""

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stages.cli.app import app
from tests.fixtures.made_up_cell import extract, images_of, open_cell, rows_of


@pytest.fixture(autouse=True)
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete cell, its work gone, as the working directory."""
    monkeypatch.chdir(tmp_path)
    extract(Path())
    shutil.rmtree("work")


FEATURES = Path("features/identity.zarr")


def usam(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["cache", *map(str, arguments)])


def lines_of(result: Result) -> list[list[str]]:
    return [re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines()]


def test_ls_has_a_line_a_cell_and_tells_what_is_to_be_migrated_or_made() -> None:
    cell = open_cell(Path(), split="val", model="tiny", view="vflip")
    cell.write_shard(0, rows_of(0), images_of((0,))[0])
    headings, published, begun = lines_of(usam("ls", "."))
    assert headings == [
        *("cell", "objects", "prompts", "features", "masks"),
        *("family", "device", "extract", "schema", "state"),
    ]
    assert published[:2] == ["10/10", "2"]  # the made-up signature names no cell
    assert published[-2:] == ["current", "complete"]
    assert begun[:3] == ["val tiny vflip", "4/10", "2"]
    assert begun[-2:] == ["current", "in the making"]
    metadata = FEATURES / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"schema_version": 2', '"schema_version": 1'))
    assert "1, current is 2  to be migrated" in usam("ls", "features").stdout
    shutil.rmtree("masks/identity.zarr/done")
    assert "damaged: masks: done must be a Zarr array" in usam("ls", "masks").stdout


@pytest.mark.parametrize("text", [None, "garbage"])
def test_ls_calls_no_cell_complete_of_which_a_store_cannot_be_read(
    tmp_path: Path, text: str | None
) -> None:
    for kind in ("features", "masks"):
        place = Path("cache", kind, "val/tiny/identity.zarr")
        place.parent.mkdir(parents=True)
        Path(kind, "identity.zarr").rename(place)
        lost = place / "zarr.json"
        lost.write_text(text) if text else lost.unlink()
    cell = open_cell(Path("cache"), split="val", model="tiny", view="identity")
    (cell.folder / "masks.zarr/zarr.json").write_text("garbage")
    _, published, begun = lines_of(usam("ls"))
    assert published[0] == begun[0] == "val tiny identity"
    assert "damaged: features: must be a Zarr store, got none" in published[-1]
    assert "; masks: must be a Zarr store, got none" in published[-1]
    assert begun[-1].startswith("damaged: masks: must be a Zarr store, got none")
    (tmp_path / "lost.zarr").mkdir()
    assert lines_of(usam("ls", "."))[1][0] == "lost.zarr"


@pytest.mark.parametrize("store", [str(FEATURES), "s3://lab/cache"])
def test_a_store_or_an_address_is_not_compared_with_a_folder_of_stores(store: str) -> None:
    for pair in ((store, "features"), ("features", store)):
        result = usam("diff", *pair)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: ONE and OTHER must be two stores, or two folders")
        assert f"a store at {store}" in result.stderr
        assert "a folder of stores at features" in result.stderr


def test_diff_of_two_stores_and_of_two_folders() -> None:
    shutil.copytree("features", "others/features")
    result = usam("diff", FEATURES, "others/features/identity.zarr")
    assert (result.exit_code, result.stdout[:4]) == (0, "same")
    Path("others/more").mkdir()
    shutil.copytree("masks/identity.zarr", "others/features/vflip.zarr")
    result = usam("diff", "features", "others/features")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "same     identity.zarr",
        "alone    others/features/vflip.zarr",
    ]
    extract(Path("again"), (0, 7, 0))
    result = usam("diff", ".", ".")
    assert result.exit_code == 0, "stores in the making are not compared, wherever they lie"
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"same"}
    result = usam("diff", FEATURES, "again/features/identity.zarr")
    assert result.exit_code == 1
    assert re.search(r"iou +4 of 10 rows differ, by at most 0\.\d+", result.stdout)
    result = usam("diff", FEATURES, "masks/identity.zarr")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "must be of kind features, got masks" in result.stderr


def test_a_store_is_packed_verified_and_unpacked() -> None:
    assert usam("pack", FEATURES, "cell.zip").exit_code == 0
    assert usam("verify", "cell.zip").stdout.splitlines() == ["intact   cell.zip"]
    assert "kind features, published" in " ".join(usam("info", "cell.zip").stdout.split())
    assert usam("unpack", "cell.zip", "back.zarr").exit_code == 0
    assert usam("diff", FEATURES, "back.zarr").exit_code == 0
    assert usam("diff", "cell.zip", "back.zarr").exit_code == 0
    address = f"file://{Path('back.zarr').absolute()}"
    assert usam("diff", "cell.zip", address).stdout == f"same     cell.zip {address}\n"
    assert usam("verify", address).stdout == f"intact   {address}\n"
    assert usam("info", address).stdout.startswith(f"{address}\nkind ")
    again = usam("unpack", "cell.zip", "back.zarr")
    assert again.exit_code == 1
    assert again.stderr == (
        "error: back.zarr must not exist before a store is unpacked to it, got something\n"
    )
    for command in (("pack", "nothing", "x.zip"), ("unpack", "nothing.zip", "x")):
        refused = usam(*command)
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"error: {command[1]} must be a Zarr store, got none")


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
    result = usam("verify", address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("ls", "s3://lab/x"),
        ("migrate", "s3://lab/x"),
        ("repair", "s3://lab/x"),
        ("pack", "s3://lab/x", "x.zip"),
        ("pack", str(FEATURES), "s3://lab/x"),
        ("unpack", "s3://lab/x", "back.zarr"),
        ("unpack", "x.zip", "s3://lab/x"),
    ],
    ids=" ".join,
)
def test_what_takes_paths_alone_refuses_an_address_and_names_who_takes_it(
    command: tuple[str, ...],
) -> None:
    result = usam(*command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: s3://lab/x must be a path, got an address: `usam cache info`, `verify` and "
        "`diff` take those, each of one store\n"
    )
    assert not Path("s3:").exists()
