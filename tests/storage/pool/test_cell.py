"""A shard is named by what it is computed from, appears whole, and is held to its digests."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import StoreError
from storage.pool.cell import WORK, Cell
from storage.split.sharded_table import SHARD_IMAGES, ShardedTable, names_of_rows
from tests.fixtures.extract_project import files_of
from tests.fixtures.made_up_cell import (
    MAKER,
    SHARD_OBJECTS,
    SPLIT,
    cell_of,
    fill,
    rows_of,
    split_of,
)

NAMES = SPLIT.names


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_names_follow_from_inputs_and_rows_of_a_full_shard(
    n: int, n_other: int, shard_objects: int, per_image: int
) -> None:
    """Not from the split: what two of them begin with has the same names."""
    one, other = (split_of(k, shard_objects, per_image=per_image) for k in (n, n_other))
    assert len({*one.names}) == len(one.names) == -(-n // shard_objects)
    assert one.count_rows(one.names) == n
    n_alike = min(n, n_other) // shard_objects if one.full_rows == other.full_rows else 0
    n_alike += (n == n_other) and n % shard_objects > 0
    assert one.names[:n_alike] == other.names[:n_alike]
    assert not {*one.names[n_alike:]} & {*other.names[n_alike:]}


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5))
def test_a_part_has_the_names_and_inputs_of_its_shards_and_of_its_images(
    n: int, shard_objects: int, per_image: int
) -> None:
    split = split_of(n, shard_objects, per_image=per_image)
    for name, shard in split.shards.items():
        part = split.part(shard.index, shard.index + 1)
        assert part.names == (name,)
        first, last = shard.pieces[0].image, shard.pieces[-1].image
        images = split.images.part(first // SHARD_IMAGES, last // SHARD_IMAGES + 1)
        assert {*images.names} <= {*split.images.names}
        for piece in part.shards[name].pieces:
            row = images.shards[images.names[piece.image // SHARD_IMAGES]].pieces
            of_image = row[piece.image % SHARD_IMAGES].image
            assert images.table.file[of_image] == part.table.file[piece.image]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_published_rows_tell_the_names_of_their_shards(
    n: int, shard_objects: int, per_image: int
) -> None:
    split = split_of(n, shard_objects, per_image=per_image)
    rows = [
        rows_of(shard, split, with_masks=False)["input_sha256"] for shard in range(len(split.names))
    ]
    assert tuple(names_of_rows(np.concatenate(rows).tolist(), shard_objects)) == split.names


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("image_sha256", lambda values: np.where(np.arange(5) == 2, "of other bytes", values)),
        ("file", lambda values: np.where(np.arange(5) == 2, "other.png", values)),
        ("mask_rle", lambda values: np.where(np.arange(10) == 5, "077", values)),
        ("point_px", lambda values: values + (np.arange(10) == 5)[:, None, None]),
        ("object_id", lambda values: values + 1),
        ("area_px", lambda values: values + 1),
    ],
)
def test_a_changed_input_renames_its_shard_alone_ids_and_areas_are_none(
    name: str, change: Callable[[Any], Any]
) -> None:
    values = getattr(SPLIT.table, name)
    changed = change(values).astype(values.dtype)
    names = ShardedTable(replace(SPLIT.table, **{name: changed}), SHARD_OBJECTS).names
    renamed = [] if name in {"object_id", "area_px"} else [1]
    assert [i for i in range(len(names)) if names[i] != NAMES[i]] == renamed


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"split": "train"}, True),
        ({"objects_digest": "of other objects"}, True),
        ({"view": "vflip"}, False),
        ({"prompts": ("center",)}, False),
        ({"with_masks": False}, False),
    ],
    ids=str,
)
def test_shards_of_other_settings_are_in_other_folders_those_of_other_splits_are_not(
    tmp_path: Path, changes: dict[str, Any], is_same: bool
) -> None:
    assert (cell_of(tmp_path, **changes).folder == cell_of(tmp_path).folder) == is_same


@pytest.mark.parametrize("with_masks", [True, False])
def test_what_was_put_is_what_is_read(tmp_path: Path, with_masks: bool) -> None:
    cell = cell_of(tmp_path, with_masks=with_masks)
    rows = rows_of(2, with_masks=with_masks)
    assert cell.lacking() == list(NAMES)
    cell.put(NAMES[2], rows, maker=MAKER)
    assert cell.lacking() == list(NAMES[:2])
    read = cell.read(NAMES[2])
    assert (read.maker, bool(read.files_sha256)) == (MAKER, with_masks)
    assert read.rows.keys() == rows.keys() - {"mask_code"}
    for name, values in read.rows.items():
        np.testing.assert_array_equal(values, rows[name])
        is_text = name == "input_sha256"
        assert values.dtype == (np.dtypes.StringDType() if is_text else rows[name].dtype)
    kept = {f"{NAMES[2]}.npz"} | (
        {cell.array_path(NAMES[2], read.files_sha256["mask_code"]).name} if with_masks else set()
    )
    assert {file.name for file in cell.folder.iterdir()} == {NAMES[2][:2], "settings.json"}
    assert {file.name for file in (cell.folder / NAMES[2][:2]).iterdir()} == kept
    assert '"precision": "fp32"' in (cell.folder / "settings.json").read_text()


def test_a_shard_says_who_computed_it_and_in_how_many_seconds(tmp_path: Path) -> None:
    cell, work = cell_of(tmp_path), {"host": "n1", "job": "7", "seconds": "1.500"}
    cell.put(NAMES[0], rows_of(0), maker=MAKER, work=work)
    with np.load(cell.rows_path(NAMES[0])) as archive:
        assert {key: str(archive[key]) for key in WORK} == work
    cell.put(NAMES[1], rows_of(1), maker=MAKER)  # as before there were such entries
    for shard in (0, 1):
        assert cell.read(NAMES[shard]).rows.keys() == rows_of(shard).keys() - {"mask_code"}


def test_who_comes_second_changes_nothing(tmp_path: Path) -> None:
    """Though another kind of device differs in the last digits."""
    cell, rows = cell_of(tmp_path), rows_of(0)
    cell.put(NAMES[0], rows, maker="the first")
    before = files_of(cell.folder)
    others = {name: np.flip(values, -1) for name, values in rows.items() if name != "input_sha256"}
    cell.put(NAMES[0], rows | others, maker="the second")
    assert files_of(cell.folder) == before


def broken(**changes: np.ndarray) -> dict[str, np.ndarray]:
    return {**rows_of(0), **changes}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"iou": rows_of(0)["iou"]}, "rows of shard 0 must hold agreement, .*, got iou$"),
        (broken(iou=np.zeros((4, 2, 3))), "iou must be float32 of shape .*, got float64"),
        (rows_of(2), r"must be .* of shape \(4, 2.*got .* \(2, 2"),
        (rows_of(1), r"shard 0 must be of the inputs \w{12}, got those of \w{12}"),
    ],
    ids=["missing", "dtype", "rows", "inputs"],
)
def test_rows_that_do_not_fit_are_refused_before_anything_is_kept(
    tmp_path: Path, rows: dict[str, np.ndarray], message: str
) -> None:
    cell = cell_of(tmp_path)
    with pytest.raises(StoreError, match=message):
        cell.put(NAMES[0], rows, maker=MAKER)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("suffix", [".masks", "settings.json", ".npz"])
def test_a_full_disk_is_named_and_the_shard_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    cell, flush = cell_of(tmp_path), os.fsync

    def full(handle: int) -> None:
        if f"{suffix}." in Path(f"/proc/self/fd/{handle}").readlink().name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            cell.put(NAMES[1], rows_of(1), maker=MAKER)
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value.filename).startswith(str(cell.folder))
    assert str(caught.value.filename).endswith(suffix)
    assert cell.lacking() == list(NAMES)
    assert not list(cell.folder.rglob("*.partial"))
    assert fill(cell) == [0, 1, 2]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    """A cell of features with one shard, whose file the tests put back."""
    cell = cell_of(tmp_path_factory.mktemp("kept"), with_masks=False)
    cell.put(NAMES[0], rows_of(0, with_masks=False), maker=MAKER)
    return cell


@contextmanager
def damaged(cell: Cell, change: Callable[[bytes], bytes]) -> Iterator[Path]:
    """Features of the first shard, damaged for the time of the block."""
    path = cell.rows_path(NAMES[0])
    whole = path.read_bytes()
    path.write_bytes(change(whole))
    try:
        yield path
    finally:
        path.write_bytes(whole)


def written_over(data: bytes, start: int, block: bytes) -> bytes:
    start %= len(data)
    return (data[:start] + block + data[start + len(block) :])[: len(data)]


def flipped(data: bytes, bit: int) -> bytes:
    place = bit // 8 % len(data)
    return written_over(data, place, bytes([data[place] ^ 1 << bit % 8]))


@pytest.mark.no_cover
@given(
    st.one_of(
        st.integers(0, 2**20).map(lambda bit: partial(flipped, bit=bit)),
        st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=64)).map(
            lambda block: partial(written_over, start=block[0], block=block[1])
        ),
        st.integers(0, 2**12).map(lambda n_bytes: lambda whole: whole[:n_bytes]),
    )
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_of_features_is_found_or_is_of_no_row(
    kept: Cell, change: Callable[[bytes], bytes]
) -> None:
    intact = kept.read(NAMES[0])
    with damaged(kept, change) as path:
        try:
            read = kept.read(NAMES[0])
        except StoreError as error:
            assert str(error).startswith(f"{path} must be rows of a shard, got ")  # noqa: PT017
        else:
            for name, values in read.rows.items():
                np.testing.assert_array_equal(values, intact.rows[name], strict=True)


def test_a_shard_that_is_dropped_is_lacking_and_links_of_it_stay(tmp_path: Path) -> None:
    cell = cell_of(tmp_path)
    fill(cell)
    masks = cell.array_path(NAMES[1], cell.read(NAMES[1]).files_sha256["mask_code"])
    (tmp_path / "published").hardlink_to(masks)
    cell.drop(NAMES[1])
    assert not masks.exists()
    assert (tmp_path / "published").exists()
    assert fill(cell) == [1]
    cell.drop(NAMES[1])
    cell.drop(NAMES[1])
    assert cell.lacking() == [NAMES[1]]
