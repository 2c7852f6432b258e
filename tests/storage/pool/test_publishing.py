"""What is published is what zarr writes of all rows at once, and no damaged shard is among it."""

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.files.manifest import write_manifest
from storage.folders import SUFFIX
from storage.pool.cell import Cell
from storage.pool.publishing import DamagedShardsError, PublishedPart, publish
from storage.split.sharded_table import ShardedTable
from storage.store.checks import damaged_files
from storage.store.opening import IMAGES_DIGEST, images_digest
from storage.store.schema import SCHEMA
from storage.store.writing import create_store, write_array
from tests.fixtures.made_up_cell import (
    DISK_OPERATIONS,
    MAKER,
    SPLIT,
    cell_of,
    compare_shards,
    extract,
    fill,
    flip,
    outputs,
    publish_whole,
    rows_of,
    split_of,
    targets,
)

NAMES = SPLIT.names
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def write_at_once(root: Path, cell: Cell) -> None:
    """The stores of a cell, each array written whole, as a program would that knows no shards."""
    split = cell.split
    parts = [rows_of(i, split, with_masks="masks" in cell.kinds) for i in range(len(split.names))]
    images = split.images_sha256
    for kind, path in targets(root, cell).items():
        dims = {"features": ("channel", "encoder_channel"), "masks": ("y", "x")}[kind]
        group = create_store(
            path,
            kind,
            {dim: cell.sizes[dim] for dim in dims},
            signature=cell.signature,
            coords={"object_id": split.table.object_id, "prompt": cell.signature["prompts"]},
            optional=SCHEMA[kind],
        )
        for name, spec in SCHEMA[kind].items():
            if name in parts[0]:
                write_array(group, name, spec, np.concatenate([part[name] for part in parts]))
            elif name == "images_sha256":
                write_array(group, name, spec, images)
        if kind == "masks":
            group.update_attributes({IMAGES_DIGEST: images_digest(images)})
        write_manifest(path)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("split", "with_masks"),
    [
        (SPLIT, True),
        (SPLIT, False),
        (split_of(3, 4), True),
        (split_of(1, 1), True),
        (split_of(12, 4, per_image=12), True),
        # Chunks of features hold 1024 rows, and more from 32 Ki on.
        (split_of(1024, 100), False),
        (split_of(33_000, 5000, per_image=1000), False),
    ],
    ids=lambda value: (
        f"{value.table.n_objects}-by-{value.shard_rows}"
        if isinstance(value, ShardedTable)
        else ("features", "masks")[value]
    ),
)
def test_shards_in_any_order_give_the_bytes_of_all_rows_written_at_once(
    tmp_path: Path, split: ShardedTable, *, with_masks: bool
) -> None:
    cell = cell_of(tmp_path, split, with_masks=with_masks)
    for shard in np.random.default_rng(1).permutation(len(split.names)):
        cell.put(split.names[shard], rows_of(shard, split, with_masks=with_masks), maker=MAKER)
    publish_whole(tmp_path, cell)
    write_at_once(tmp_path / "at_once", cell)
    assert outputs(tmp_path) == outputs(tmp_path / "at_once")
    for path in targets(tmp_path, cell).values():
        assert damaged_files(path) == {}


@pytest.mark.no_cover
def test_parts_that_run_twice_in_any_order_after_a_kill_give_the_bytes_of_one_run(
    tmp_path: Path,
) -> None:
    """As by workers, of which one is killed while it writes, and one is taken for dead."""
    cell = cell_of(tmp_path, split_of(2500, 100))
    fill(cell)
    publish_whole(tmp_path, cell)

    def each(run: Callable[..., PublishedPart], parts: Sequence[Any]) -> list[PublishedPart]:
        stores = parts[0][-1]
        (stores["features"] / "iou" / "c.1.0.0.123abc.partial").write_bytes(b"half")
        done = [(i, run(*parts[i])) for i in (2, 0, 1, 0, 2)]
        assert len(parts) == 3
        return [*dict(done).values()]

    publish(cell, targets(tmp_path / "parts", cell), each)
    assert outputs(tmp_path / "parts") == outputs(tmp_path)


def test_a_damaged_shard_leaves_the_former_stores_as_they_are(tmp_path: Path) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    cell = cell_of(tmp_path)
    flip(masks_of(cell, 1), 5)
    with pytest.raises(DamagedShardsError) as caught:
        publish_whole(tmp_path, cell)
    assert caught.value.faults.keys() == {NAMES[1]}
    assert outputs(tmp_path) == before
    assert not [*tmp_path.rglob(f"*{SUFFIX}")]


def test_the_number_of_flushes_does_not_grow_with_the_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_flushes = []
    for n_shards in (10, 40):
        root = tmp_path / str(n_shards)
        cell = cell_of(root, split_of(n_shards, 1))
        fill(cell)
        with monkeypatch.context() as patch:
            flush = Mock(side_effect=os.fsync)
            patch.setattr(os, "fsync", flush)
            publish_whole(root, cell)
        n_flushes.append(flush.call_count)
    assert n_flushes[0] == n_flushes[1]


def test_objects_that_are_alike_share_a_shard(tmp_path: Path) -> None:
    """As where a data set has an annotation twice."""
    table = replace(
        SPLIT.table,
        mask_rle=np.full_like(SPLIT.table.mask_rle, "0"),
        point_px=np.zeros_like(SPLIT.table.point_px),
    )
    cell = cell_of(tmp_path, ShardedTable(table, shard_rows=1))
    assert len(cell.split.names) == 10
    assert len(fill(cell)) == 5
    publish_whole(tmp_path, cell)
    write_at_once(tmp_path / "at_once", cell)
    assert outputs(tmp_path) == outputs(tmp_path / "at_once")


def test_a_complete_pool_on_a_read_only_disk_is_published(tmp_path: Path) -> None:
    cell = cell_of(tmp_path)
    fill(cell)
    before = {path: path.stat().st_mtime_ns for path in cell.pool.rglob("*")}

    def refuse_writing(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event in DISK_OPERATIONS or (event == "open" and arguments[2] & WRITING)
        paths = arguments[1:2] if event == "os.link" else arguments[:1]
        if writes and str(paths[0]).startswith(str(cell.pool)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), paths[0])

    child = os.fork()
    if not child:  # an audit hook stays as long as its process
        sys.addaudithook(refuse_writing)
        status = 1
        with suppress(OSError):
            publish_whole(tmp_path, cell)
            status = 0
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert outputs(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in cell.pool.rglob("*")} == before


@pytest.mark.parametrize("changes", [{"model": "large"}, {"precision": "bf16"}], ids=str)
def test_another_cells_shard_under_the_same_name_is_not_published(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    cell, other = cell_of(tmp_path), cell_of(tmp_path, **changes)
    fill(cell)
    fill(other)
    for file in other.folder.rglob(f"{NAMES[1]}*"):
        shutil.copy(file, cell.rows_path(NAMES[1]).parent)
    faults = compare_shards(cell).faults
    assert list(faults) == [NAMES[1]]
    assert faults[NAMES[1]] == (
        f"{cell.rows_path(NAMES[1])} must be rows of a shard, got rows of the settings "
        f"{other.folder.name}, not {cell.folder.name}"
    )


@pytest.mark.no_cover
def test_only_the_shard_of_a_changed_image_is_computed(tmp_path: Path) -> None:
    extract(tmp_path)
    assert extract(tmp_path, (0, 0, 7)) == [1]
    extract(tmp_path / "afresh", (0, 0, 7))
    assert outputs(tmp_path) == outputs(tmp_path / "afresh")
    assert extract(tmp_path) == [], "the former image is back"


def test_masks_are_published_as_links_which_a_shard_done_again_does_not_change(
    tmp_path: Path,
) -> None:
    extract(tmp_path)
    published = tmp_path / "masks/identity.zarr/mask_code/c.1.0.0.0.0"
    before = published.read_bytes()
    assert published.stat().st_nlink == 2
    published.chmod(0o444)  # as DVC does with what it caches
    cell = cell_of(tmp_path)
    cell.drop(NAMES[1])
    assert fill(cell) == [1]
    assert published.read_bytes() == before
    assert stat.S_IMODE(published.stat().st_mode) == 0o444


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool with a whole cell, with and without masks; tests that break it copy it."""
    root = tmp_path_factory.mktemp("whole")
    for with_masks in (True, False):
        fill(cell_of(root, with_masks=with_masks))
    return root


def masks_of(cell: Cell, shard: int) -> Path:
    return cell.array_path(NAMES[shard], cell.read(NAMES[shard]).files_sha256["mask_code"])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def swap(one: Path, other: Path) -> None:
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def copy_whole(features: list[Path], masks: list[Path]) -> None:
    """All of the first shard in the place of the second."""
    shutil.copyfile(features[0], features[1])
    shutil.copyfile(masks[0], masks[1].with_name(masks[0].name.replace(NAMES[0], NAMES[1])))


@pytest.mark.parametrize(
    ("damage", "with_masks", "damaged"),
    [
        (lambda _, masks: masks[1].unlink(), True, [1]),
        (lambda _, masks: swap(*masks[:2]), True, [0, 1]),
        (copy_whole, True, [1]),
        (lambda features, _: cut(features[2]), False, [2]),
        (lambda features, _: swap(*features[:2]), True, [0, 1]),
    ],
)
def test_damaged_shards_are_found_and_computed_again(
    whole: Path,
    tmp_path: Path,
    damage: Callable[[list[Path], list[Path]], object],
    *,
    with_masks: bool,
    damaged: list[int],
) -> None:
    shutil.copytree(whole, tmp_path / "root")
    cell = cell_of(tmp_path / "root", with_masks=with_masks)
    masks = [masks_of(cell, shard) for shard in range(3)] if with_masks else []
    damage([cell.rows_path(name) for name in NAMES], masks)
    compared = compare_shards(cell)
    assert compared.faults.keys() == {NAMES[shard] for shard in damaged}
    for name in compared.faults:
        cell.drop(name)
    assert fill(cell) == damaged
    assert not compare_shards(cell).faults


@given(st.integers(0, 2), st.integers(0, 2**20))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_flipped_bit_of_masks_is_found(whole: Path, shard: int, bit: int) -> None:
    cell = cell_of(whole)
    path = masks_of(cell, shard)
    flip(path, bit)
    try:
        (fault,) = compare_shards(cell).faults.items()
    finally:
        flip(path, bit)
    assert fault[0] == NAMES[shard]
    assert fault[1].startswith(f"{path} must have the sha256 ")
