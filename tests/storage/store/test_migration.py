"""Stores of schema 2 come to the present schema without a model, or say why they cannot."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.errors import StoreError
from storage.files.manifest import FILE, NAME, write_manifest
from storage.store.migration import migrate
from storage.store.verify import verify
from tests.fixtures.earlier_store import as_schema_2, edit_root
from tests.fixtures.made_up_cell import flip


@pytest.fixture(params=["features", "masks"])
def store(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A store as schema 2 had it."""
    path = shutil.copytree(made / request.param / "identity.zarr", tmp_path / "identity.zarr")
    as_schema_2(path)
    return path


def files_of(path: Path) -> dict[str, bytes]:
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_a_store_of_schema_2_becomes_what_a_new_run_writes(made: Path, store: Path) -> None:
    kind = json.loads((store / "zarr.json").read_text())["attributes"]["kind"]
    assert migrate(store)
    assert files_of(store) == files_of(made / kind / "identity.zarr")
    assert verify(store) == []
    assert not migrate(store), "it is there already"


def test_arrays_are_linked_and_what_others_link_stays_as_it_was(
    store: Path, tmp_path: Path
) -> None:
    """DVC's cache, say."""
    before = files_of(store)
    shutil.copytree(store, tmp_path / "kept", copy_function=os.link)
    assert migrate(store)
    assert files_of(tmp_path / "kept") == before
    kept = [name for name in before if name not in {"zarr.json", FILE}]
    for name in (name for name in kept if not name.startswith("done/")):
        assert (store / name).samefile(tmp_path / "kept" / name)


def test_damaged_and_missing_chunks_are_not_blessed(store: Path) -> None:
    flip(store / "object_id/c.0", -1)
    (store / "prompt/c.0").unlink()
    assert migrate(store)
    assert [(damage.array, damage.key, damage.reason[:6]) for damage in verify(store)] == [
        ("object_id", "c.0", "sha256"),
        ("prompt", "c.0", "missin"),
    ]


def lose_array(path: Path) -> None:
    shutil.rmtree(path / "prompt")
    write_manifest(path)


def compile_it(path: Path) -> None:
    edit_root(path, lambda root: root["attributes"]["signature"].update(compile=True))
    write_manifest(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: (path / "notes").touch(), "must have no files but .* manifest, got notes$"),
        (
            lambda path: (path / "prompt/zarr.json").write_text("{}"),
            r"must have intact metadata, got others .* in prompt/zarr\.json; make it again",
        ),
        (lambda path: shutil.rmtree(path / NAME), "must be the manifest of the store, got none"),
        (lose_array, r"arrays of the present schema, got none of prompt/zarr\.json; make it again"),
        (compile_it, "models that were not compiled, got signature.compile: True; make it again"),
    ],
    ids=["stray", "metadata", "manifest", "array", "compiled"],
)
def test_a_store_that_is_not_whole_or_not_ours_stays_as_it_is(
    store: Path, change: Callable[[Path], Any], message: str
) -> None:
    change(store)
    before = files_of(store)
    with pytest.raises(StoreError, match=message):
        migrate(store)
    assert files_of(store) == before


@pytest.mark.parametrize("version", [1, 9, None])
def test_a_store_of_another_schema_is_refused(store: Path, version: int | None) -> None:
    edit_root(store, lambda root: root["attributes"]["signature"].update(schema_version=version))
    with pytest.raises(StoreError, match=f"must be 2 or 3, got {version}; make it again"):
        migrate(store)
