"""A cell from its first shard to its publication."""

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

import storage
from storage.cell.making import Cell
from storage.errors import StoreError
from storage.store.marks import Mark, load_mark, put_mark, receipt_of
from storage.store.verify import verify
from tests.fixtures.made_up_cell import (
    N_SHARDS,
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


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    assert extract(tmp_path) == [0, 1, 2]
    features = storage.open_features(tmp_path / "features/identity.zarr", SIGNATURE)
    masks = storage.open_masks(tmp_path / "masks/identity.zarr", SIGNATURE)
    for name in rows_of(0):
        stored = masks if name == "mask_code" else features
        wanted = np.concatenate([rows_of(shard)[name] for shard in range(N_SHARDS)])
        np.testing.assert_array_equal(stored[name].values, wanted)
        is_text = wanted.dtype.kind == "U"
        assert stored[name].dtype == (np.dtypes.StringDType() if is_text else wanted.dtype)
    np.testing.assert_array_equal(features.object_id, PLAN.object_id)
    assert features.prompt.values.tolist() == list(PLAN.prompts)
    assert features.images_sha256.values.tolist() == IMAGES


def test_a_second_run_does_nothing_and_publishes_the_same_bytes(tmp_path: Path) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    assert extract(tmp_path) == []
    assert outputs(tmp_path) == before


def test_an_output_that_was_lost_is_published_again_without_work(tmp_path: Path) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    for path in list(tmp_path.glob("[fm]*s/**/*")):
        if path.is_file():
            path.unlink()
    assert extract(tmp_path) == []
    assert outputs(tmp_path) == before


def test_order_of_shards_changes_no_byte(tmp_path: Path) -> None:
    extract(tmp_path / "in_order")
    cell = open_cell(tmp_path / "shuffled")
    for shard in (2, 0, 1):
        cell.write_shard(shard, rows_of(shard), IMAGES[shard])
    root = tmp_path / "shuffled"
    cell.publish(root / "features/identity.zarr", root / "masks/identity.zarr")
    assert outputs(tmp_path / "shuffled") == outputs(tmp_path / "in_order")


def test_only_the_shard_of_a_changed_image_is_pending(tmp_path: Path) -> None:
    extract(tmp_path)
    assert extract(tmp_path, (0, 7, 0)) == [1]
    extract(tmp_path / "afresh", (0, 7, 0))
    assert outputs(tmp_path) == outputs(tmp_path / "afresh")


def test_a_shard_done_again_leaves_the_published_file_as_it_was(tmp_path: Path) -> None:
    extract(tmp_path)
    published = tmp_path / "masks/identity.zarr/mask_code/c.1.0.0.0.0"
    before = published.read_bytes()
    assert published.stat().st_nlink == 2, "masks are published as hard links"
    published.chmod(0o444)  # as DVC does with what it caches
    cell = open_cell(tmp_path)
    cell.write_shard(1, rows_of(1, version=7), "other images")
    assert not (cell.folder / "published").exists()
    assert published.read_bytes() == before
    assert stat.S_IMODE(published.stat().st_mode) == 0o444
    assert extract(tmp_path, (0, 0, 0)) == [1]


@pytest.mark.parametrize(
    "file", ["masks.zarr/mask_code/c.2*", "features.zarr/mask_token/c.2*", "marks/2.json"]
)
def test_a_shard_that_lost_a_file_is_lacking(tmp_path: Path, file: str) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    (lost,) = tmp_path.glob(f"work/*/*/*/*/{file}")
    lost.unlink()
    assert extract(tmp_path) == [2]
    assert outputs(tmp_path) == before


@pytest.mark.parametrize("text", ["", "no mark", "{}", '{"images_sha256": "a", "files": [1]}'])
def test_a_damaged_mark_counts_as_none(tmp_path: Path, text: str) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    (file,) = tmp_path.glob("work/*/*/*/*/marks/1.json")
    file.write_text(text)
    assert open_cell(tmp_path).lacking(IMAGES) == {1: "not done"}
    assert extract(tmp_path) == [1]
    assert outputs(tmp_path) == before


SHARD = "masks.zarr/mask_code/c.1.0.0.0.0"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(path: Path) -> None:
    """For another shard, whose checksums hold."""
    shutil.copyfile(path.with_name("c.0.0.0.0.0"), path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip, rf"{SHARD} must have \d+ bytes with sha256 \w{{12}}, got \d+ with \w{{12}}"),
        (swap, rf"{SHARD} must have \d+ bytes"),
        (cut, rf"{SHARD} must have \d+ bytes"),
    ],
)
def test_a_damaged_shard_is_computed_again_never_published(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    (shard,) = tmp_path.glob(f"work/*/*/*/*/{SHARD}")
    file = shard.read_bytes()
    shard.unlink()  # the output is a link to it
    shard.write_bytes(file)
    damage(shard)
    cell = open_cell(tmp_path)
    lacking = cell.lacking(IMAGES)
    assert list(lacking) == [1]
    assert re.match(reason, lacking[1])
    with pytest.raises(StoreError, match=r"every shard must be intact, got .*1: "):
        cell.publish(tmp_path / "features/identity.zarr", tmp_path / "masks/identity.zarr")
    assert extract(tmp_path) == [1]
    assert outputs(tmp_path) == before


def test_publishing_before_every_shard_is_done_names_those_that_are_not(tmp_path: Path) -> None:
    cell = open_cell(tmp_path)
    cell.write_shard(1, rows_of(1), IMAGES[1])
    with pytest.raises(StoreError, match=r"every shard must be done, got 2 of 3 .* \(0, 2\)"):
        cell.publish(tmp_path / "features.zarr", tmp_path / "masks.zarr")
    assert not list(tmp_path.glob("*.zarr"))


def test_a_cell_without_masks_has_one_store(tmp_path: Path) -> None:
    plan = type(PLAN)(PLAN.prompts, PLAN.object_id, PLAN.n_channels, None, PLAN.shard_objects)
    cell = Cell.open(tmp_path / "work", SIGNATURE, plan)
    for shard in cell.lacking(IMAGES):
        rows = rows_of(shard)
        del rows["mask_code"]
        cell.write_shard(shard, rows, IMAGES[shard])
    with pytest.raises(StoreError, match="must hold features, got features, masks"):
        cell.publish(tmp_path / "features.zarr", tmp_path / "masks.zarr")
    cell.publish(tmp_path / "features.zarr")
    assert verify(tmp_path / "features.zarr") == []


def broken(**changes: np.ndarray) -> dict[str, np.ndarray]:
    return {**rows_of(0), **changes}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            broken(extra=np.zeros(4)),
            "rows of shard 0 must hold agreement, .*, got .*, extra, input",
        ),
        ({"iou": rows_of(0)["iou"]}, "rows of shard 0 must hold agreement, .*, got iou$"),
        (broken(iou=np.zeros((4, 2, 3))), "iou must be float32 of shape .*, got float64"),
        (rows_of(2), r"must be .* of shape \(4, 2, 3.*got .* \(2, 2, 3"),
    ],
    ids=["extra", "missing", "dtype", "rows"],
)
def test_rows_that_do_not_fit_are_refused_before_anything_changes(
    tmp_path: Path, rows: dict[str, np.ndarray], message: str
) -> None:
    extract(tmp_path)
    cell = open_cell(tmp_path)
    with pytest.raises(StoreError, match=message):
        cell.write_shard(0, rows, "other images")
    assert list(cell.lacking(IMAGES)) == []


def test_the_mark_comes_after_all_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[int] = []

    def spy(folder: Path, shard: int, mark: Mark) -> None:
        assert len(mark.files) == len(rows_of(1))
        for name in mark.files:
            assert (folder / name).exists()
        marked.append(shard)
        put_mark(folder, shard, mark)

    monkeypatch.setattr("storage.cell.making.put_mark", spy)
    open_cell(tmp_path).write_shard(1, rows_of(1), IMAGES[1])
    assert marked == [1]


def test_a_receipt_is_kept_in_the_work_folder_and_nowhere_else(tmp_path: Path) -> None:
    extract(tmp_path / "without")
    cell = open_cell(tmp_path)
    for shard in range(N_SHARDS):
        receipt = receipt_of("a processor", n_objects=4, seconds=1.5)
        cell.write_shard(shard, rows_of(shard), IMAGES[shard], receipt)
    marks = [load_mark(cell.folder, shard) for shard in range(N_SHARDS)]
    assert [mark.receipt for mark in marks if mark is not None] == [receipt] * N_SHARDS
    cell.publish(tmp_path / "features/identity.zarr", tmp_path / "masks/identity.zarr")
    assert outputs(tmp_path) == outputs(tmp_path / "without")


def test_a_full_disk_is_named_and_finished_shards_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = open_cell(tmp_path)
    cell.write_shard(0, rows_of(0), IMAGES[0])
    flush = os.fsync

    def full(handle: int) -> None:
        if ".c.1.0.0.0.0." in Path(f"/proc/self/fd/{handle}").readlink().name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            cell.write_shard(1, rows_of(1), IMAGES[1])
        assert str(caught.value.filename).startswith(str(cell.folder))
        assert caught.value.errno == errno.ENOSPC
    assert not list(cell.folder.rglob("*.partial"))
    assert list(cell.lacking(IMAGES)) == [1, 2]
    assert extract(tmp_path) == [1, 2]


def test_pieces_serve_until_their_shard_is_done(tmp_path: Path) -> None:
    rows = {"iou": np.ones((2, 2, 3), np.float32)}
    cell = open_cell(tmp_path)
    cell.keep_piece(1, 3, rows, origin="as it is")
    cell.keep_piece(2, 3, rows, origin="as it is")
    cell = open_cell(tmp_path)
    kept = cell.load_piece(1, 3, origin="as it is")
    assert kept is not None
    np.testing.assert_array_equal(kept["iou"], rows["iou"])
    assert cell.load_piece(1, 3, origin="repaired") is None
    assert cell.load_piece(1, 4, origin="as it is") is None
    cell.write_shard(1, rows_of(1), IMAGES[1])
    assert cell.load_piece(1, 3, origin="as it is") is None
    assert cell.load_piece(2, 3, origin="as it is") is not None


def test_memory_of_a_shard_is_one_shard(tmp_path: Path) -> None:
    """A shard of masks is one file of the work store, whole, so no writer reads another's."""
    extract(tmp_path)
    group = zarr.open_group(tmp_path / "masks/identity.zarr", mode="r")
    assert group["mask_code"].shards == (4, 2, 3, 8, 8)  # type: ignore[union-attr]
    assert group["mask_code"].chunks == (1, 2, 3, 8, 8)  # type: ignore[union-attr]
