import shutil
from pathlib import Path

import pytest

from storage.errors import StoreError
from storage.split.objects import write_objects
from storage.store.describe import describe, find_stores
from tests.fixtures.made_up_cell import extract
from tests.fixtures.made_up_objects import table_of


def test_a_complete_store(made: Path) -> None:
    path = made / "masks/identity.zarr"
    masks = describe(path)
    assert (masks.kind, masks.faulty) == ("masks", ())
    assert masks.sizes["object"] == 10
    assert masks.size_bytes == sum(file.stat().st_size for file in path.glob("*/c.*"))
    assert masks.signature["precision"] == "fp32"


def test_a_store_of_objects(tmp_path: Path) -> None:
    write_objects(tmp_path / "val.zarr", table_of(), {})
    objects = describe(tmp_path / "val.zarr")
    assert objects.faulty == ()


def test_a_store_that_lost_a_file(made: Path, tmp_path: Path) -> None:
    path = shutil.copytree(made / "features/identity.zarr", tmp_path / "identity.zarr")
    (path / "iou/c.0.0.0").unlink()
    features = describe(path)
    assert features.faulty == ("iou/c.0.0.0",)


def test_stores_below_a_folder_are_found(tmp_path: Path) -> None:
    extract(tmp_path)
    hidden = tmp_path / "features/.identity.zarr.partial"
    hidden.mkdir()
    (hidden / "zarr.json").touch()
    found = find_stores(tmp_path)
    assert [path.name for path in found] == ["identity.zarr", "identity.zarr"]
    assert find_stores(found[0]) == [found[0]]


def test_a_store_without_its_own_file_is_found_as_one(tmp_path: Path) -> None:
    extract(tmp_path)
    store = tmp_path / "features/identity.zarr"
    (store / "zarr.json").unlink()
    assert find_stores(tmp_path / "features") == [store]


def test_no_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="must be a store or hold some, got none"):
        find_stores(tmp_path)
