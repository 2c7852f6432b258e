"""What differs between two stores is named, and by how much."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from storage.errors import StoreError
from storage.files.manifest import write_manifest
from storage.store.checks import differences_of
from storage.store.opening import open_entropy
from storage.store.schema import specs_of
from storage.store.writing import write_store
from tests.fixtures.made_up_cell import N_OBJECTS, cell_of, fill, publish_whole, rows_of, split_of


@pytest.fixture
def other(made: Path, tmp_path: Path) -> Path:
    """The features once more, to change."""
    return shutil.copytree(made / "features/identity.zarr", tmp_path / "identity.zarr")


def rewrite(store: Path, array: str, rows: slice, values: npt.ArrayLike) -> None:
    group = zarr.open_group(store, mode="r+")
    group[array][rows] = values  # type: ignore[index]
    write_manifest(store)


def test_a_store_is_the_same_as_its_copy_and_no_chunk_is_read(made: Path, other: Path) -> None:
    (other / "iou/c.0.0.0").unlink()
    assert differences_of(made / "features/identity.zarr", other) == {}


def test_rows_that_differ_are_counted_and_the_largest_gap_told(made: Path, other: Path) -> None:
    iou = np.concatenate([rows_of(shard)["iou"] for shard in range(3)])
    iou[2, 0, 0] += 0.25
    iou[7] -= 0.5
    rewrite(other, "iou", slice(None), iou)
    assert differences_of(made / "features/identity.zarr", other) == {
        "iou": f"2 of {N_OBJECTS} rows differ, by at most 0.5"
    }


def test_signatures_and_shapes_are_compared_first(made: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"family": "sam2", "seed": 1, "views": ("identity", "vflip")}
    cell = cell_of(tmp_path, split_of(4), objects_digest=cell_of(made).split.digest, **changes)
    fill(cell)
    publish_whole(tmp_path, cell)
    found = differences_of(made / "masks/identity.zarr", tmp_path / "masks/identity.zarr")
    assert found == {
        "signature.family": "mini -> sam2",
        "signature.seed": "none -> 1",
        "signature.views": "vflip added",
        "mask_code": "shape 10 x 2 x 3 x 8 x 8 -> 4 x 2 x 3 x 8 x 8",
        "object_id": "shape 10 -> 4",
    }


def test_stores_that_cannot_be_compared_are_refused(made: Path) -> None:
    with pytest.raises(StoreError, match="must be of kind features, got masks"):
        differences_of(made / "features/identity.zarr", made / "masks/identity.zarr")


def test_an_optional_array_that_only_one_has_is_named(tmp_path: Path) -> None:
    sizes = {"object": 2, "judged": 2, "model": 1, "region": 2, "bin": 10}
    stores = [tmp_path / name for name in ("with.zarr", "without.zarr")]
    for store, names in zip(stores, (["dice_near"], []), strict=True):
        arrays = {
            name: np.ones([sizes[dim] for dim in spec.dims], np.float32)
            for name, spec in specs_of("entropy", names).items()
            if not spec.is_coordinate
        }
        labels = {"object_id": np.arange(2), "model": ["tiny"]}
        write_store(store, "entropy", arrays | labels, signature={})
    assert differences_of(*stores) == {"dice_near": "there -> none"}
    assert differences_of(*stores[::-1]) == {"dice_near": "none -> there"}
    shutil.rmtree(stores[0] / "dice_near")
    with pytest.raises(
        StoreError, match=r"every file must be there whole, got 2 missing or cut short \(dice_near"
    ):
        open_entropy(stores[0])
