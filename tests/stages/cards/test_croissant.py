"""``croissant.json`` is Croissant 1.1, as MLCommons' own reader has it."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlcroissant
import pytest

from stages.cards.stores import Publication, card_stores, croissant
from storage.folders import sha256_file

# rdflib, which mlcroissant parses JSON-LD with, calls its own class by its earlier name.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph:DeprecationWarning")

OF_ANN = Publication("hf://datasets/ann/usam@v1", "cc-by-4.0", "Ann", "2025-01-01", "1.0.0")

STORES = ["cache/features/identity.zarr", "cache/masks/identity.zarr", "cell.zip"]


@pytest.fixture
def described(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is written of a cell, whose features are zipped, too."""
    monkeypatch.chdir(tmp_path)
    for kind in ("features", "masks"):
        shutil.copytree(made / kind, Path("cache", kind))
    shutil.make_archive("cell", "zip", STORES[0])
    return croissant(card_stores(["cache", "cell.zip"]), OF_ANN, "Two stores.")


def read(described: dict[str, Any]) -> mlcroissant.Dataset:
    Path("croissant.json").write_text(json.dumps(described), "utf-8")
    return mlcroissant.Dataset(jsonld="croissant.json")


def test_it_validates_without_a_warning(described: dict[str, Any]) -> None:
    # Those that the specification asks for, more than its reader does.
    asked = {"name", "description", "license", "url", "creator", "datePublished", "conformsTo"}
    assert asked <= described.keys()
    metadata = read(described).metadata
    assert metadata.ctx.issues.report() == ""
    assert metadata.ctx.is_v1_1()
    assert metadata.license == ["cc-by-4.0"]


def test_its_digests_are_those_of_the_files(described: dict[str, Any]) -> None:
    files = {node.id: node for node in read(described).metadata.file_objects}
    assert set(files) == {*(f"{path}/manifest/zarr.json" for path in STORES[:2]), "cell.zip"}
    for path, node in files.items():
        assert node.sha256 == sha256_file(Path(path))
        assert node.content_url == OF_ANN.url(path)
