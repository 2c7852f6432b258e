"""What is intact of published stores is taken over; the rest is computed again, and no more."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import StoreError
from tests.fixtures.made_up_cell import N_SHARDS, ORIGINAL, images_of, open_cell, outputs, rows_of
from tests.fixtures.made_up_cell import extract as extract_all

STORES = {kind: Path(f"{kind}/identity.zarr") for kind in ("features", "masks")}


@pytest.fixture(autouse=True)
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A complete cell whose work is gone, as the working directory; gives its outputs."""
    monkeypatch.chdir(tmp_path)
    extract_all(Path())
    shutil.rmtree("work")
    return outputs(Path())


def flip(name: str) -> None:
    path = Path(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)


def swap(name: str) -> None:
    shutil.copyfile(Path(name).with_name("c.0.0.0.0.0"), name)


def lose(name: str) -> None:
    Path(name).unlink()


def repair() -> tuple[dict[int, str], list[int]]:
    """What was found damaged, and what was computed."""
    images = images_of(ORIGINAL)
    cell = open_cell(Path())
    faults = cell.adopt(STORES)
    pending = list(cell.lacking(images))
    for shard in pending:
        cell.write_shard(shard, rows_of(shard), images[shard])
    cell.publish(STORES["features"], STORES["masks"])
    return faults, pending


def add(name: str) -> None:
    """As NFS does where a file is removed that somebody has open."""
    Path(name).write_bytes(b"not of the store")


@pytest.mark.parametrize(
    ("damage", "name", "shards"),
    [
        (flip, "masks/identity.zarr/mask_code/c.1.0.0.0.0", [1]),
        (swap, "masks/identity.zarr/mask_code/c.1.0.0.0.0", [1]),
        (lose, "masks/identity.zarr/mask_code/c.2.0.0.0.0", [2]),
        # Features of these few objects are in one chunk.
        (flip, "features/identity.zarr/iou/c.0.0.0", [0, 1, 2]),
        (flip, "features/identity.zarr/done/c.0", [0, 1, 2]),
        (flip, "features/identity.zarr/zarr.json", [0, 1, 2]),
        (flip, "features/identity.zarr/object_id/c.0", []),
        (lose, "masks/identity.zarr/probability/c.0", []),
        (add, "masks/identity.zarr/mask_code/.nfs0001", []),
        (add, "masks/identity.zarr/mask_code/c.9.0.0.0.0", []),
        (add, "features/identity.zarr/iou/c.0", []),
        (add, "features/identity.zarr/done/.nfs0001", []),
    ],
)
def test_damaged_shards_alone_are_computed_and_the_bytes_are_as_before(
    wanted: dict[str, bytes], damage: Callable[[str], None], name: str, shards: list[int]
) -> None:
    damage(name)
    faults, pending = repair()
    assert sorted(faults) == pending == shards
    assert outputs(Path()) == wanted
    if shards and "mask_code" in name:
        assert faults[shards[0]].startswith(f"masks mask_code/{Path(name).name}")


def test_intact_stores_need_no_shard(wanted: dict[str, bytes]) -> None:
    assert repair() == ({}, [])
    assert outputs(Path()) == wanted


def test_shards_of_other_inputs_are_refused() -> None:
    cell = open_cell(Path(), precision="bf16")
    with pytest.raises(StoreError, match=r"written under other inputs \(precision: fp32 -> bf16\)"):
        cell.adopt(STORES)


def test_compiled_shards_are_refused_where_others_are_asked_for() -> None:
    compiled = open_cell(Path("other"), compile=True)
    for shard, images in enumerate(images_of(ORIGINAL)):
        compiled.write_shard(shard, rows_of(shard), images)
    stores = {kind: Path("other") / path for kind, path in STORES.items()}
    compiled.publish(*stores.values())
    with pytest.raises(StoreError, match=r"other inputs \(compile: True -> False\)"):
        open_cell(Path()).adopt(stores)


def test_a_cell_of_changed_images_takes_over_the_others() -> None:
    images = images_of((0, 5, 0))
    cell = open_cell(Path())
    assert cell.adopt(STORES) == {}
    assert list(cell.lacking(images)) == [1]
    assert len(images) == N_SHARDS


def test_features_beside_masks_of_other_images_are_not_taken_over(wanted: dict[str, bytes]) -> None:
    """As where a kill comes between the two, or each was checked out alone."""
    extract_all(Path("other"), (0, 5, 0))
    shutil.rmtree(STORES["masks"])
    shutil.copytree("other" / STORES["masks"], STORES["masks"])
    faults, pending = repair()
    assert sorted(faults) == pending == [0, 1, 2]
    assert "must be of the images of its features (images_digest: " in faults[0]
    assert outputs(Path()) == wanted
