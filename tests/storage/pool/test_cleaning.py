"""Shards that no cell uses go, and no other file of a running fill."""

import shutil
from collections.abc import Collection
from pathlib import Path

import pytest

from storage.folders import begin_file, begun_files
from storage.pool.cell import Cell
from storage.pool.cleaning import Removable, find_removable, remove
from tests.fixtures.dead_process import dead_tag
from tests.fixtures.made_up_cell import (
    MAKER,
    cell_of,
    compare_shards,
    extract,
    fill,
    outputs,
    rows_of,
    split_of,
)


def cleaned(cell: Cell, used: Collection[str] = ()) -> list[Removable]:
    """Clean a pool in which cells use these shards of one cell."""
    removable = find_removable({cell.folder: used}, cell.pool)
    remove(removable)
    return removable


@pytest.mark.parametrize("has_outputs", [True, False])
def test_shards_that_no_cell_uses_go_and_free_what_no_store_links(
    tmp_path: Path, *, has_outputs: bool
) -> None:
    extract(tmp_path)
    before = outputs(tmp_path)
    cell = cell_of(tmp_path)
    if not has_outputs:
        shutil.rmtree(tmp_path / "masks")
    files = [path for name in cell.split.names for path in cell.folder.rglob(f"{name}.*")]
    freed = [path for path in files if path.suffix == ".npz" or not has_outputs]
    n_bytes = sum(path.stat().st_size for path in freed)
    (removable,) = find_removable({}, cell.pool)
    assert (removable.n_unused, removable.n_bytes) == (3, n_bytes)
    assert removable.description == f"mini tiny identity fp32 in {cell.folder}"
    remove([removable])
    assert list(cell.pool.iterdir()) == []
    if has_outputs:
        assert outputs(tmp_path) == before
    assert not find_removable({}, cell.pool)


def test_used_shards_stay(tmp_path: Path) -> None:
    extract(tmp_path)
    cell = cell_of(tmp_path, split_of(14))
    assert fill(cell) == [2, 3]
    other = cell_of(tmp_path, precision="bf16")
    fill(other)
    names = cell.split.names
    n_unused = {folder.folder: folder.n_unused for folder in cleaned(cell, names[:3])}
    assert n_unused == {cell.folder: 2, other.folder: 3}, "one of a former split, one of this"
    assert cell.lacking() == [names[3]]
    assert not compare_shards(cell_of(tmp_path, split_of(14))).faults.keys() & {*names[:3]}
    assert not other.folder.exists()
    assert not find_removable({cell.folder: names}, cell.pool)


def halves_of(cell: Cell) -> tuple[Path, Path]:
    """The masks of a shard without its features, as a kill leaves them, and the features' path."""
    name = cell.split.names[1]
    cell.put(name, rows_of(1), maker=MAKER)
    masks = cell.array_path(name, cell.read(name).files_sha256["mask_code"])
    features = cell.rows_path(name)
    features.unlink()
    return masks, features


@pytest.mark.parametrize("has_settings", [True, False])
@pytest.mark.parametrize("has_others", [True, False])
def test_files_of_dead_processes_go_and_those_of_living_ones_stay(
    tmp_path: Path, *, has_settings: bool, has_others: bool
) -> None:
    cell = cell_of(tmp_path)
    masks, features = halves_of(cell)
    if not has_settings:
        (cell.folder / "settings.json").unlink()
    if has_others:
        cell.put(cell.split.names[0], rows_of(0), maker=MAKER)
    leftover = features.with_name(f".{features.name}.{dead_tag()}.partial")
    leftover.touch()
    mark = begin_file(features)
    assert mark is not None
    assert not cleaned(cell, cell.split.names)
    assert masks.exists()
    assert mark.exists()
    assert not leftover.exists()
    mark.unlink()
    (removable,) = cleaned(cell, cell.split.names)
    assert (removable.n_unused, removable.files) == (0, (masks,))
    assert not masks.exists()
    assert cell.folder.exists() == has_others


def test_a_shard_that_is_finished_while_the_pool_is_cleaned_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(tmp_path)
    name = cell.split.names[0]
    begin_file(cell.rows_path(name))

    def finish_and_list(folder: Path) -> set[str]:
        cell.put(name, rows_of(0), maker=MAKER)
        return begun_files(folder)

    monkeypatch.setattr("storage.pool.cleaning.begun_files", finish_and_list)
    assert not cleaned(cell, cell.split.names)
    assert name not in cell.lacking()
    cell.drop(name)
    remove([Removable(cell.folder, 0, ())])
    assert name not in cell.lacking()
