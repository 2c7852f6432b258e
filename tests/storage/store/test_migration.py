"""Stores of schema 1 come to the present schema without a model, or say why they cannot."""

import json
import shutil
from pathlib import Path

import pytest

from storage.errors import StoreError
from storage.files.manifest import NAME
from storage.store.verify import verify
from storage.store.writing import migrate


@pytest.fixture(params=["features", "masks"])
def store(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A store as schema 1 had it."""
    path = shutil.copytree(made / request.param / "identity.zarr", tmp_path / "identity.zarr")
    shutil.rmtree(path / NAME)
    text = (path / "zarr.json").read_text()
    assert '"schema_version": 2' in text
    (path / "zarr.json").write_text(text.replace('"schema_version": 2', '"schema_version": 1'))
    return path


def files_of(path: Path) -> dict[str, bytes]:
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_a_store_of_schema_1_becomes_what_a_new_run_writes(made: Path, store: Path) -> None:
    kind = json.loads((store / "zarr.json").read_text())["attributes"]["kind"]
    assert migrate(store)
    assert files_of(store) == files_of(made / kind / "identity.zarr")
    assert verify(store) == []
    assert not migrate(store), "it is there already"


def test_a_damaged_store_is_not_given_a_manifest(store: Path) -> None:
    chunk = store / "object_id/c.0"
    chunk.write_bytes(chunk.read_bytes()[:-2])
    before = files_of(store)
    with pytest.raises(StoreError, match=r"must be intact, got object_id/c\.0: .*; make it again$"):
        migrate(store)
    assert files_of(store) == before


def test_a_store_that_lacks_arrays_of_the_present_schema_names_them(store: Path) -> None:
    for name in ("prompt", "done"):
        shutil.rmtree(store / name)
    with pytest.raises(
        StoreError, match=r"must have the arrays done, prompt of the present .* extract_version"
    ):
        migrate(store)


def test_a_store_of_an_unknown_schema_is_refused(store: Path) -> None:
    text = (store / "zarr.json").read_text()
    (store / "zarr.json").write_text(text.replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(StoreError, match="schema_version must be one of 1, 2, got 9"):
        migrate(store)
