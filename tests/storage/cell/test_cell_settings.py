"""One work folder a signature."""

from pathlib import Path

import pytest

from storage.cell.making import Cell
from storage.errors import StoreError
from storage.store.inspection import open_store
from storage.store.signature import digest
from storage.writers import new_tag
from tests.fixtures.dead_process import dead_tag
from tests.fixtures.made_up_cell import (
    ORIGINAL,
    PLAN,
    SIGNATURE,
    extract,
    images_of,
    open_cell,
    outputs,
    rows_of,
)

IMAGES = images_of(ORIGINAL)


def test_other_settings_get_another_folder_and_the_unfinished_is_named(tmp_path: Path) -> None:
    cell = open_cell(tmp_path)
    cell.write_shard(0, rows_of(0), IMAGES[0])
    former = cell.folder
    assert cell.unfinished == ()
    cell = open_cell(tmp_path, precision="bf16")
    assert list(cell.lacking(IMAGES)) == [0, 1, 2]
    assert [str(other) for other in cell.unfinished] == [
        f"unfinished work under other settings is kept in {former} (precision: fp32 -> bf16)"
    ]
    assert extract(tmp_path) == [1, 2], "work under the first settings goes on"
    cell = open_cell(tmp_path, precision="bf16")
    assert cell.unfinished == (), "published work is finished"


def test_unfinished_work_that_was_compiled_is_told_from_work_that_is_not(tmp_path: Path) -> None:
    former = open_cell(tmp_path, compile=True).folder
    assert [str(other) for other in open_cell(tmp_path).unfinished] == [
        f"unfinished work under other settings is kept in {former} (compile: True -> False)"
    ]


def test_another_size_of_shards_is_another_signature(tmp_path: Path) -> None:
    extract(tmp_path)
    plan = type(PLAN)(PLAN.prompts, PLAN.object_id, PLAN.n_channels, 8, shard_objects=5)
    cell = Cell.open(tmp_path / "work/val/tiny/identity", SIGNATURE, plan)
    assert list(cell.lacking(["a", "b"])) == [0, 1]


def test_work_of_another_plan_under_the_same_signature_is_refused(tmp_path: Path) -> None:
    extract(tmp_path)
    plan = type(PLAN)(PLAN.prompts, PLAN.object_id, 6, 8, PLAN.shard_objects)
    with pytest.raises(StoreError, match=r"must have the sizes .*'channel': 6.*'channel': 5"):
        Cell.open(tmp_path / "work/val/tiny/identity", SIGNATURE, plan)
    open_cell(tmp_path)


def test_what_the_dead_left_half_written_is_removed_and_the_livings_stays(tmp_path: Path) -> None:
    cell = open_cell(tmp_path)
    array = cell.folder / "masks.zarr/mask_code"
    half, unborn = (
        array / f".c.0.0.0.0.0.{dead_tag()}.partial",
        cell.folder / f".masks.zarr.{dead_tag()}.partial",
    )
    half.write_bytes(b"half a shard")
    unborn.mkdir()
    living = array / f".c.0.0.0.0.0.{new_tag()}.partial"
    elsewhere = array / ".c.0.0.0.0.0.01234567-1-01234567.partial"
    for other in (living, elsewhere):
        other.write_bytes(b"half a shard")
    cell.marked.tidy()
    assert not half.exists()
    assert not unborn.exists()
    assert living.exists()
    assert elsewhere.exists()
    extract(tmp_path)
    extract(tmp_path / "undisturbed")
    assert outputs(tmp_path) == outputs(tmp_path / "undisturbed")


def test_the_signature_is_on_disk_before_the_first_row(tmp_path: Path) -> None:
    cell = open_cell(tmp_path)
    store = open_store(cell.folder / "masks.zarr")
    assert store.signature == {
        "family": "mini",
        "precision": "fp32",
        "schema_version": 2,
        "shard_objects": 4,
        "views": ["identity"],
    }
    assert cell.folder.name == digest(store.signature)
