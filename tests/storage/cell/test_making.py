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
from storage.cell import shards
from storage.cell.making import Cell
from storage.errors import StoreError
from storage.store.inspection import Store
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
    with open_cell(tmp_path / "shuffled") as cell:
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
    with open_cell(tmp_path) as cell:
        cell.write_shard(1, rows_of(1, version=7), "other images")
        assert not (cell.folder / "published").exists()
    assert published.read_bytes() == before
    assert stat.S_IMODE(published.stat().st_mode) == 0o444
    assert extract(tmp_path, (0, 0, 0)) == [1]


@pytest.mark.parametrize(
    "array",
    [
        "masks.zarr/mask_code",
        "masks.zarr/done",
        "features.zarr/mask_token",
        "features.zarr/images_sha256",
        "features.zarr/done",
    ],
)
def test_a_shard_that_lost_a_file_is_pending(tmp_path: Path, array: str) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    (file,) = tmp_path.glob(f"work/*/*/*/*/{array}/c.2*")
    file.unlink()
    assert extract(tmp_path) == [2]
    assert outputs(tmp_path) == before


def test_a_damaged_mark_counts_as_none(tmp_path: Path) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    (file,) = tmp_path.glob("work/*/*/*/*/features.zarr/done/c.1")
    file.write_bytes(b"no chunk")
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


def forget(path: Path) -> None:
    (path.parents[2] / "records/1.json").unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip, rf"{SHARD} must have \d+ bytes with sha256 \w{{12}}, got \d+ with \w{{12}}"),
        (swap, rf"{SHARD} must have \d+ bytes"),
        (cut, rf"{SHARD} must have \d+ bytes"),
        (forget, "no record of its files"),
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
    with open_cell(tmp_path) as cell:
        assert list(cell.damaged) == [1]
        assert re.match(reason, cell.damaged[1])
        with pytest.raises(StoreError, match=r"every shard must be intact, got .*1: "):
            cell.publish(tmp_path / "features/identity.zarr", tmp_path / "masks/identity.zarr")
    assert extract(tmp_path) == [1]
    assert outputs(tmp_path) == before


def test_publishing_before_every_shard_is_done_names_those_that_are_not(tmp_path: Path) -> None:
    with open_cell(tmp_path) as cell:
        cell.write_shard(1, rows_of(1), IMAGES[1])
        with pytest.raises(StoreError, match=r"every shard must be done, got 2 of 3 .* \(0, 2\)"):
            cell.publish(tmp_path / "features.zarr", tmp_path / "masks.zarr")
    assert not list(tmp_path.glob("*.zarr"))


def test_a_cell_without_masks_has_one_store(tmp_path: Path) -> None:
    plan = type(PLAN)(PLAN.prompts, PLAN.object_id, PLAN.n_channels, None, PLAN.shard_objects)
    with Cell.open(tmp_path / "work", SIGNATURE, plan) as cell:
        for shard in cell.pending(IMAGES):
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
    with open_cell(tmp_path) as cell:
        with pytest.raises(StoreError, match=message):
            cell.write_shard(0, rows, "other images")
        assert cell.pending(IMAGES) == []


def test_marks_come_after_all_data_and_those_of_features_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[str] = []
    mark = shards.mark

    def spy(store: Store, shard: int, images: str) -> None:
        for kind, names in (("masks", ["mask_code"]), ("features", ["iou", "mask_token"])):
            for name in names:
                assert list((cell.folder / f"{kind}.zarr" / name).glob(f"c.{shard}.*"))
        marked.append(store.kind)
        mark(store, shard, images)

    monkeypatch.setattr(shards, "mark", spy)
    with open_cell(tmp_path) as cell:
        cell.write_shard(1, rows_of(1), IMAGES[1])
    assert marked == ["masks", "features"]


def test_a_full_disk_is_named_and_finished_shards_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_cell(tmp_path) as cell:
        cell.write_shard(0, rows_of(0), IMAGES[0])
        with monkeypatch.context() as patch:
            patch.setattr("zarr.storage._local._put", full)
            with pytest.raises(OSError, match="No space left") as caught:
                cell.write_shard(1, rows_of(1), IMAGES[1])
            assert caught.value.filename == str(cell.folder)
            assert caught.value.errno == errno.ENOSPC
        assert cell.pending(IMAGES) == [1, 2]
    assert extract(tmp_path) == [1, 2]


def test_pieces_serve_until_their_shard_is_done(tmp_path: Path) -> None:
    rows = {"iou": np.ones((2, 2, 3), np.float32)}
    with open_cell(tmp_path) as cell:
        cell.keep_piece(1, 3, rows, image_sha256="as it is")
        cell.keep_piece(2, 3, rows, image_sha256="as it is")
    with open_cell(tmp_path) as cell:
        kept = cell.load_piece(1, 3, image_sha256="as it is")
        assert kept is not None
        np.testing.assert_array_equal(kept["iou"], rows["iou"])
        assert cell.load_piece(1, 3, image_sha256="repaired") is None
        assert cell.load_piece(1, 4, image_sha256="as it is") is None
        cell.write_shard(1, rows_of(1), IMAGES[1])
        assert cell.load_piece(1, 3, image_sha256="as it is") is None
        assert cell.load_piece(2, 3, image_sha256="as it is") is not None


def test_memory_of_a_shard_is_one_shard(tmp_path: Path) -> None:
    """A shard of masks is one file of the work store, whole, so no writer reads another's."""
    extract(tmp_path)
    group = zarr.open_group(tmp_path / "masks/identity.zarr", mode="r")
    assert group["mask_code"].shards == (4, 2, 3, 8, 8)  # type: ignore[union-attr]
    assert group["mask_code"].chunks == (1, 2, 3, 8, 8)  # type: ignore[union-attr]
