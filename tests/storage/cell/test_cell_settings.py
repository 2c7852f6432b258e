"""One work folder a signature, one writer a folder."""

from pathlib import Path

import pytest

from storage.cell.making import Cell
from storage.errors import StoreError
from storage.store.inspection import open_store
from storage.store.signature import digest
from tests.fixtures.made_up_cell import (
    ORIGINAL,
    PLAN,
    SIGNATURE,
    extract,
    images_of,
    open_cell,
    rows_of,
)

IMAGES = images_of(ORIGINAL)


def test_two_writers_of_a_cell_are_one_too_many(tmp_path: Path) -> None:
    first = open_cell(tmp_path)
    with pytest.raises(StoreError, match="must have one writer at a time, got a second one"):
        open_cell(tmp_path)
    first.close()
    open_cell(tmp_path).close()
    forgotten: Cell | None = open_cell(tmp_path)
    assert forgotten is not None
    del forgotten
    open_cell(tmp_path).close()


def test_other_settings_get_another_folder_and_the_unfinished_is_named(tmp_path: Path) -> None:
    with open_cell(tmp_path) as cell:
        cell.write_shard(0, rows_of(0), IMAGES[0])
        former = cell.folder
        assert cell.unfinished == ()
    with open_cell(tmp_path, precision="bf16") as cell:
        assert cell.pending(IMAGES) == [0, 1, 2]
        assert [str(other) for other in cell.unfinished] == [
            f"unfinished work under other settings is kept in {former} (precision: fp32 -> bf16)"
        ]
    assert extract(tmp_path) == [1, 2], "work under the first settings goes on"
    with open_cell(tmp_path, precision="bf16") as cell:
        assert cell.unfinished == (), "published work is finished"


def test_another_size_of_shards_is_another_signature(tmp_path: Path) -> None:
    extract(tmp_path)
    plan = type(PLAN)(PLAN.prompts, PLAN.object_id, PLAN.n_channels, 8, shard_objects=5)
    with Cell.open(tmp_path / "work/val/tiny/identity", SIGNATURE, plan) as cell:
        assert cell.pending(["a", "b"]) == [0, 1]


def test_work_of_another_plan_under_the_same_signature_is_refused(tmp_path: Path) -> None:
    extract(tmp_path)
    plan = type(PLAN)(PLAN.prompts, PLAN.object_id, 6, 8, PLAN.shard_objects)
    with pytest.raises(StoreError, match=r"must have the sizes .*'channel': 6.*'channel': 5"):
        Cell.open(tmp_path / "work/val/tiny/identity", SIGNATURE, plan)
    open_cell(tmp_path).close()


def test_partial_files_of_a_kill_are_swept(tmp_path: Path) -> None:
    with open_cell(tmp_path) as cell:
        leftover = cell.folder / "masks.zarr/mask_code/c.0.0.0.0.0123.partial"
        leftover.write_bytes(b"half a shard")
        unborn = cell.folder / ".masks.zarr.partial"
        unborn.mkdir()
    open_cell(tmp_path).close()
    assert not leftover.exists()
    assert not unborn.exists()


def test_the_signature_is_on_disk_before_the_first_row(tmp_path: Path) -> None:
    with open_cell(tmp_path) as cell:
        store = open_store(cell.folder / "masks.zarr")
        assert store.signature == {
            "family": "mini",
            "precision": "fp32",
            "schema_version": 2,
            "shard_objects": 4,
            "views": ["identity"],
        }
        assert cell.folder.name == digest(store.signature)
