"""Whose turn a shard is, where several processes fill a cell and none of them asks another."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline.extraction.plan import Piece, Shard
from pipeline.extraction.predictions import Rows
from stages.extraction.loop import run_shards
from stages.filling.worker import _Turns
from stages.program.progress import Count, progress
from storage.folders import begin_file, begun_files
from storage.pool.cell import Cell
from tests.fixtures.dead_process import dead_tag
from tests.fixtures.made_up_cell import cell_of, split_of

N_SHARDS = 100
SHARD_S = 0.1
"""Seconds that a shard takes about."""

MAX_TWICE = 5
"""Shards of a hundred that may be computed twice."""


@pytest.fixture
def count() -> Iterator[Count]:
    with progress("fill", 0) as count:
        yield count


def shards_of(root: Path, *, shard_objects: int = 2, per_image: int = 1) -> Cell:
    """A cell of a hundred shards."""
    return cell_of(root, split_of(N_SHARDS * shard_objects, shard_objects, per_image=per_image))


@dataclass
class FakeSteps:
    """A model that sleeps, and a shard without rows."""

    cell: Cell
    turns: _Turns
    piece_s: float
    made: list[int]

    def read(self, piece: Piece) -> Piece:
        return piece

    def compute(self, _: Piece, given: Piece) -> Rows:
        time.sleep(self.piece_s)
        return {"row": np.arange(given.start, given.stop)}

    def write(self, shard: Shard, rows: Rows) -> None:
        assert len(rows["row"]) == shard.stop - shard.start
        name = self.cell.split.names[shard.index]
        self.made.append(shard.index)
        self.cell.features_path(name).touch()
        self.turns.end(name)


def fill(cell: Cell, made: list[int], *, pace: float = 1) -> None:
    """Fill a cell as a process does that is so much slower than others."""
    (shard, *_) = cell.split.shards.values()
    with progress("fill", 0) as count, _Turns(cell, cell.split.names, count) as turns:
        steps = FakeSteps(cell, turns, pace * SHARD_S / len(shard.pieces), made)
        while turns.left:
            assert run_shards(turns.shards(), steps, count) == ()


@pytest.mark.parametrize("n_processes", [2, 4])
def test_processes_that_ask_no_other_compute_few_shards_twice(
    tmp_path: Path, n_processes: int
) -> None:
    cell = shards_of(tmp_path, shard_objects=4, per_image=2)
    made: list[int] = []
    with ThreadPoolExecutor(n_processes) as processes:
        paces = 1 + np.linspace(-0.2, 0.2, n_processes)
        for filled in [processes.submit(fill, cell, made, pace=pace) for pace in paces]:
            filled.result()
    assert set(made) == set(range(N_SHARDS))
    assert len(made) - N_SHARDS < MAX_TWICE
    assert not begun_files(cell.folder)


def test_a_process_alone_goes_round_once_from_anywhere(tmp_path: Path, count: Count) -> None:
    cell = shards_of(tmp_path)
    starts = set()
    for first, step in [(0, 1)] * 5 + [(1, 3)] * 5:
        own = range(N_SHARDS)[first::step]
        with _Turns(cell, cell.split.names[first::step], count) as turns:
            order = [shard.index for shard in turns.shards()]
            assert not turns.left
        start = order.index(first)
        assert order[start:] + order[:start] == list(own)
        starts.add(order[0])
    assert len(starts) > 1


def test_what_another_process_has_begun_comes_last_and_what_a_dead_one_left_does_not(
    tmp_path: Path, count: Count
) -> None:
    cell = shards_of(tmp_path)
    mine, others, left, there = cell.split.names[:4]
    begun = begin_file(cell.features_path(others))
    dead = begun.with_name(f".{left}.npz.{dead_tag()}.partial")
    dead.touch()
    cell.features_path(there).touch()
    with _Turns(cell, (mine, others, left, there), count) as turns:
        assert {shard.index for shard in turns.shards()} == {0, 2}
        assert not dead.exists()
        assert turns.left == [others], "first, the caller does what is its own"
        assert [shard.index for shard in turns.shards()] == [1]
        assert not turns.left
    assert begun_files(cell.folder) == {f"{others}.npz"}, "it is for the other one to end"
    with _Turns(cell, (others,), count) as turns:
        cell.features_path(others).touch()
        assert not list(turns.shards())


def test_an_error_shows_no_shard_as_begun(tmp_path: Path, count: Count) -> None:
    cell = shards_of(tmp_path)
    turns = _Turns(cell, cell.split.names, count)
    shards = turns.shards()
    assert next(shards) != next(shards)
    assert len(begun_files(cell.folder)) == 2
    turns.__exit__(MemoryError)
    assert not begun_files(cell.folder)
