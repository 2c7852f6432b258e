"""Cards say of stores and heads what these say themselves, and open what they name.

``croissant.json`` is Croissant 1.1, as MLCommons' own reader has it.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
import xarray
import yaml
from typer.testing import CliRunner, Result

from stages.cards.stores import Publication, card_stores, croissant
from stages.cli.app import app
from storage.folders import sha256_file
from storage.head_files.head_file import read_head_file, shipped_heads
from storage.store import opening
from tests.fixtures.file_server import file_server
from tests.fixtures.made_up_cell import N_OBJECTS

FEATURES = "cache/features/identity.zarr"
MASKS = "cache/masks/identity.zarr"


@pytest.fixture
def clone(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose cache has a cell."""
    for kind in ("features", "masks"):
        shutil.copytree(made / kind, tmp_path / "clone/cache" / kind)
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


def card(*stores: str, address: str = "hf://datasets/ann/usam@v1", **options: str) -> Result:
    given = {"address": address, "license": "cc-by-4.0", "creator": "Ann: the «lab»"} | options
    words = [word for key, value in given.items() for word in (f"--{key}", value)]
    return CliRunner().invoke(app, ["cache", "card", *stores, *words])


def front_matter(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(front)
    return found


def blocks(text: str) -> Iterator[str]:
    return (found[1] for found in re.finditer(r"```python\n(.*?)```", text, re.DOTALL))


def run_block(code: str) -> dict[str, Any]:
    assert len([line for line in code.splitlines() if line]) <= 3
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - as a reader does
    return names


def test_the_card_says_what_signatures_and_manifests_say(clone: Path) -> None:
    assert card("cache", FEATURES).exit_code == 0
    text = (clone / "hub/README.md").read_text("utf-8")
    for path, kind in ((FEATURES, "features"), (MASKS, "masks")):
        digest = sha256_file(clone / path / "manifest/zarr.json")
        (row,) = re.findall(rf"^\| `{path}` .*$", text, re.MULTILINE)
        assert f"| {kind} | {N_OBJECTS} | 2 |" in row
        assert row.endswith(f"| `{digest}` |")
    signature = opening.open_features(clone / FEATURES).attrs["signature"]
    assert "| prompts | center, refined |" in text
    assert f"| precision | {signature['precision']} |" in text


def test_a_second_clone_opens_what_the_card_names(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = opening.open_features(clone / FEATURES).load()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with file_server(clone) as url:
        assert card("cache", address=url).exit_code == 0
        (tmp_path / "second").mkdir()
        monkeypatch.chdir(tmp_path / "second")
        ours, plain = blocks((clone / "hub/README.md").read_text("utf-8"))
        xarray.testing.assert_identical(run_block(ours)["features"].load(), wanted)
    assert card("cache", address=f"file://{clone}").exit_code == 1  # nothing is here
    monkeypatch.chdir(clone)
    assert card("cache", address=f"file://{clone}").exit_code == 0
    ours, plain = blocks((clone / "hub/README.md").read_text("utf-8"))
    xarray.testing.assert_identical(run_block(ours)["features"].load(), wanted)
    assert (run_block(plain)["features"]["iou"][:] == wanted.iou.values).all()


@pytest.mark.parametrize(
    ("store", "address", "line"),
    [
        ("../clone/cache", "hf://datasets/a/b", "STORE must be a path below the working folder"),
        (
            "s3://ann:secret@lab/cache",
            "hf://datasets/a/b",
            (
                "STORE must be a path below the working folder, as it will be below the address, "
                "got s3://***@lab/cache"
            ),
        ),
        (
            "cache",
            "ann/usam",
            "address must have a scheme, such as hf:// or https://, got ann/usam",
        ),
        ("cache/damaged.zarr", "hf://datasets/a/b", "cache/damaged.zarr must be complete, got 1"),
    ],
)
def test_what_makes_no_card_is_refused(clone: Path, store: str, address: str, line: str) -> None:
    shutil.copytree(clone / FEATURES, clone / "cache/damaged.zarr")
    next((clone / "cache/damaged.zarr/iou").glob("*0*")).unlink()
    done = card(store, address=address)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {line}")
    assert not (clone / "hub").exists()


def test_a_card_replaces_a_card_and_no_other_file(clone: Path) -> None:
    assert [card("cache").exit_code for _ in range(2)] == [0, 0]
    for name in ("README.md", "croissant.json"):
        text = (clone / "hub" / name).read_text("utf-8")
        (clone / "hub" / name).write_text("mine", "utf-8")
        assert f"error: hub/{name} must be a new file, or one that" in card("cache").stderr
        assert (clone / "hub" / name).read_text("utf-8") == "mine"
        (clone / "hub" / name).write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("address", "name", "page", "url"),
    [
        (
            "hf://datasets/ann/usam@v1",
            *("usam", "https://huggingface.co/datasets/ann/usam"),
            "https://huggingface.co/datasets/ann/usam/resolve/v1/x.zarr",
        ),
        ("s3://lab/usam", "usam", "s3://lab/usam", "s3://lab/usam/x.zarr"),
    ],
)
def test_addresses_of_the_hub_are_pages_and_files_for_browsers(
    address: str, name: str, page: str, url: str
) -> None:
    publication = Publication(address, "mit", "Ann", "2025-01-01", "1.0.0")
    assert (publication.name, publication.page, publication.url("x.zarr")) == (name, page, url)


def test_the_card_of_heads_is_that_of_a_model_and_loads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(shipped_heads(), "mini.safetensors")
    command = ["heads", "card", "mini.safetensors", "--license", "apache-2.0"]
    done = CliRunner().invoke(app, [*command, "--to", "."])
    assert done.exit_code == 0, done.output
    text = Path("README.md").read_text("utf-8")
    front = front_matter(text)
    assert (front["license"], front["library_name"]) == ("apache-2.0", "usam-cache")
    assert front["pipeline_tag"] == "mask-generation"
    found = read_head_file(Path("mini.safetensors"))
    assert f"| sha256 of the file | {sha256_file(Path('mini.safetensors'))} |" in text
    assert f"| weights_tiny | {found.card['weights_tiny']} |" in text
    for objective, facts in found.by_objective.items():
        assert f"| {objective} | {facts['validation_mse']} |" in text
    (code,) = blocks(text)
    assert run_block(code)["predictor"].model is not None
    assert CliRunner().invoke(app, [*command, "--to", "."]).exit_code == 0
    assert CliRunner().invoke(app, command).exit_code == 0
    assert Path("hub-heads/README.md").read_text("utf-8") == text


# rdflib, which mlcroissant parses JSON-LD with, calls its own class by its earlier name.
of_rdflib = pytest.mark.filterwarnings("ignore:ConjunctiveGraph:DeprecationWarning")

OF_ANN = Publication("hf://datasets/ann/usam@v1", "cc-by-4.0", "Ann", "2025-01-01", "1.0.0")


@pytest.fixture
def described(clone: Path) -> dict[str, Any]:  # noqa: ARG001 - the working folder
    """What is written of the cell of ``clone``."""
    return croissant(card_stores(["cache"]), OF_ANN, "Two stores.")


def read(described: dict[str, Any]) -> mlcroissant.Dataset:
    Path("croissant.json").write_text(json.dumps(described), "utf-8")
    return mlcroissant.Dataset(jsonld="croissant.json")


@of_rdflib
def test_croissant_validates_without_a_warning(described: dict[str, Any]) -> None:
    # Those that the specification asks for, more than its reader does.
    asked = {"name", "description", "license", "url", "creator", "datePublished", "conformsTo"}
    assert asked <= described.keys()
    metadata = read(described).metadata
    assert metadata.ctx.issues.report() == ""
    assert metadata.ctx.is_v1_1()
    assert metadata.license == ["cc-by-4.0"]


@of_rdflib
def test_croissant_names_all_files_and_the_digests_of_manifests(described: dict[str, Any]) -> None:
    metadata = read(described).metadata
    assert {node.id for node in metadata.file_sets} == {FEATURES, MASKS}
    for node in metadata.file_sets:
        assert node.includes == [f"{node.id}/**"]
        assert node.description == f"A Zarr v3 store of kind {Path(node.id).parts[1]}."
        assert node.encoding_formats == ["application/vnd.zarr; version=3"]
    files = {node.id: node for node in metadata.file_objects}
    assert set(files) == {f"{path}/manifest/zarr.json" for path in (FEATURES, MASKS)}
    for path, node in files.items():
        assert node.sha256 == sha256_file(Path(path))
        assert node.content_url == OF_ANN.url(path)
