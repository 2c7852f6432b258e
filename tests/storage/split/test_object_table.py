from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.errors import StoreError
from storage.paths import objects_path
from storage.split.object_table import TABLE_ARRAYS, read_objects, read_objects_of, write_objects
from storage.split.sharded_table import ShardedTable
from storage.store import opening
from storage.store.schema import SCHEMA_VERSION
from tests.fixtures.made_up_objects import arrays_of, table_of

TEXT = np.dtypes.StringDType()
OTHER: dict[str, Any] = {
    "file": np.array(["000.png", "001.png", "x.png"], TEXT),
    "height_px": np.full(3, 7, np.int32),
    "width_px": np.full(3, 7, np.int32),
    "image_index": np.repeat(np.arange(3, dtype=np.int32), [3, 5, 4]),
    "object_id": np.arange(12),
    "area_px": np.ones(12, np.int64),
    "box_px": np.zeros((12, 4), np.float32),
    "mask_rle": np.array(["0"] * 12, TEXT),
    "point_px": np.ones((12, 8, 2), np.int32),
    "annotator": np.zeros(12, np.int32),
}


@pytest.mark.parametrize("optional", [{}, {"annotator": np.arange(12, dtype=np.int32) % 5}])
def test_a_table_comes_back_as_it_was(optional: dict[str, Any], tmp_path: Path) -> None:
    table = table_of(**optional)
    write_objects(tmp_path / "val.zarr", table, {"seed": 3})
    read = read_objects(tmp_path / "val.zarr", {"seed": 3})
    for name in TABLE_ARRAYS:
        np.testing.assert_array_equal(getattr(read, name), getattr(table, name), strict=True)
    assert read.signature == {"schema_version": SCHEMA_VERSION, "seed": 3}
    assert (len(read.file), read.n_objects) == (3, 12)
    assert read.digest == table.digest


def test_a_table_is_opened_by_name(tmp_path: Path) -> None:
    write_objects(tmp_path / "val.zarr", table_of(), {})
    objects = opening.open_objects(tmp_path / "val.zarr")
    clicks = objects.point_px.sel(click="p3", xy="y")
    np.testing.assert_array_equal(clicks, arrays_of()["point_px"][:, 3, 1])
    assert objects.box.values.tolist() == ["x", "y", "w", "h"]


def test_twice_written_is_byte_equal(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_objects(tmp_path / name, table_of(), {"seed": 3})
    one, other = (
        {str(f.relative_to(tmp_path / n)): f.read_bytes() for f in (tmp_path / n).rglob("*.*")}
        for n in ("a", "b")
    )
    assert one == other
    assert len(one) == 2 * len(table_of().arrays) + 6 + 2, "attributes and manifest"


@pytest.mark.parametrize("name", OTHER)
def test_every_array_changes_the_digest(name: str) -> None:
    assert table_of(**{name: OTHER[name]}).digest != table_of().digest


def test_a_repaired_image_does_not_change_the_digest_of_the_objects() -> None:
    repaired = table_of(image_sha256=np.array(["sha 0", "repaired", "sha 2"], TEXT))
    assert repaired.digest == table_of().digest
    both = [ShardedTable(table, 3).images_sha256 for table in (repaired, table_of())]
    shards = zip(*both, strict=True)
    assert [new != old for new, old in shards] == [False, True, True, False]


def test_text_that_runs_over_a_border_changes_the_digest() -> None:
    one, other = (
        table_of(file=np.array(files, TEXT)).digest
        for files in (["ab", "c", "d"], ["a", "bc", "d"])
    )
    assert one != other


@pytest.mark.parametrize("index", [[0, 0, 1, 0], [0, 1, 2, 3], [-1, 0, 1, 2]])
def test_objects_out_of_the_order_of_images_are_refused(index: list[int]) -> None:
    one_of_each = {k: v if len(v) == 3 else v[:4] for k, v in arrays_of().items()}
    with pytest.raises(StoreError, match="image_index must rise from 0 to 2 at most, got"):
        table_of(**{**one_of_each, "image_index": np.array(index, np.int32)})


def test_a_split_without_an_object_is_refused_with_the_command_that_prepares_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_objects(objects_path("val"), table_of(0), {"split": "val"})
    with pytest.raises(
        StoreError, match=r"val\.zarr must have an object, got none; `dvc repro prepare@val` makes"
    ):
        read_objects_of("val")
