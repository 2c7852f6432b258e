"""What was published and is asked for no more goes; nothing else does that a run could use."""

import shutil
from pathlib import Path

import pytest

from storage.folders import begin_file
from storage.pool.cell import Cell
from storage.pool.publishing import Cleaned, clean, compare_shards
from tests.fixtures.dead_process import dead_tag
from tests.fixtures.made_up_cell import (
    MAKER,
    cell_of,
    extract,
    fill,
    outputs,
    publish_whole,
    rows_of,
    split_of,
)


def files_of(cell: Cell) -> list[Path]:
    """Files of the shards of a cell."""
    return [path for name in cell.split.names for path in cell.folder.glob(f"{name}.*")]


@pytest.mark.parametrize("has_outputs", [True, False])
def test_published_shards_that_nobody_asks_for_go_and_free_what_no_store_links(
    tmp_path: Path, *, has_outputs: bool
) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    cell = cell_of(tmp_path)
    if not has_outputs:
        shutil.rmtree(tmp_path / "masks")
    freed = [path for path in files_of(cell) if path.suffix == ".npz" or not has_outputs]
    n_bytes = sum(path.stat().st_size for path in freed)
    assert clean({}, cell.pool) == Cleaned(3, n_bytes)
    assert list(cell.pool.iterdir()) == []
    if has_outputs:
        assert outputs(tmp_path) == before
    assert clean({}, cell.pool) == Cleaned()


def test_shards_that_are_asked_for_or_were_never_published_stay(tmp_path: Path) -> None:
    extract(tmp_path)
    grown = cell_of(tmp_path, split_of(14))
    assert fill(grown) == [2, 3]
    other = cell_of(tmp_path, precision="bf16")
    fill(other)
    asked = grown.split.names[:1]
    cleaned = clean({grown.folder: asked}, grown.pool)
    assert cleaned.n_shards == 2  # the last one of the former split, and the one before it
    assert cleaned.unpublished == {grown.folder: 2, other.folder: 3}
    assert grown.lacking() == [grown.split.names[1]]
    assert not compare_shards(other).faults
    publish_whole(tmp_path, other)
    assert clean({}, grown.pool).unpublished == {grown.folder: 2}
    assert not other.folder.exists()
    assert grown.folder.exists()


def halves_of(cell: Cell) -> tuple[Path, Path]:
    """What a kill leaves between the masks of a shard and its features."""
    name = cell.split.names[1]
    cell.put(name, rows_of(1), maker=MAKER)
    masks = cell.masks_path(name, cell.read(name).masks_sha256)
    features = cell.features_path(name)
    features.unlink()
    return masks, features


@pytest.mark.parametrize("has_settings", [True, False])
@pytest.mark.parametrize("has_others", [True, False])
def test_what_the_dead_left_goes_what_the_living_make_stays(
    tmp_path: Path, *, has_settings: bool, has_others: bool
) -> None:
    cell = cell_of(tmp_path)
    masks, features = halves_of(cell)
    if not has_settings:
        (cell.folder / "settings.json").unlink()
    if has_others:
        cell.put(cell.split.names[0], rows_of(0), maker=MAKER)
    left = features.with_name(f".{features.name}.{dead_tag()}.partial")
    left.touch()
    begun = begin_file(features)
    assert begun is not None
    assert clean({}, cell.pool).n_bytes == 0
    assert masks.exists()
    assert begun.exists()
    assert not left.exists()
    begun.unlink()
    n_bytes = masks.stat().st_size
    cleaned = clean({}, cell.pool)
    assert (cleaned.n_shards, cleaned.n_bytes) == (0, n_bytes)
    assert not masks.exists()
    assert cell.folder.exists() == has_others
    assert cleaned.unpublished == ({cell.folder: 1} if has_others else {})
