"""Processes that fill a cell without asking each other share its shards."""

import os
import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from heapq import heappop, heappush
from pathlib import Path

import numpy as np
import pytest

from stages.filling.shards import Turns
from stages.program.progress import Count, progress
from storage.folders import begin_file, begun_files
from storage.pool.cell import Cell
from tests.fixtures.dead_process import dead_tag
from tests.fixtures.made_up_cell import cell_of, rows_of, split_of

N_SHARDS = 100
MAX_TWICE = 5
"""Shards of a hundred that may be computed twice."""


def put(cell: Cell, name: str) -> None:
    """Put an empty file of a shard into the pool."""
    cell.rows_path(name).parent.mkdir(parents=True, exist_ok=True)
    cell.rows_path(name).touch()


@pytest.fixture
def count() -> Iterator[Count]:
    with progress("fill", 0) as count:
        yield count


def shards_of(root: Path) -> Cell:
    """A cell of a hundred shards."""
    return cell_of(root, split_of(N_SHARDS * 2, 2))


def process(cell: Cell, shard_s: float, made: list[int]) -> Iterator[float]:
    """Fill a cell as the loop of an extraction does, which reads a shard ahead.

    Yields the seconds until it goes on: other processes run meanwhile.
    """
    with progress("fill", 0) as count, closing(Turns(cell, cell.split.names, count)) as turns:
        while turns.left:
            shards = turns.shards()
            current = next(shards, None)
            while current is not None:
                following = next(shards, None)
                yield shard_s
                name = cell.split.names[current.index]
                made.append(current.index)
                put(cell, name)
                turns.end(name)
                current = following


def run_together(processes: Iterable[Iterator[float]]) -> None:
    """Run processes side by side on a clock of their own, which no load disturbs."""
    waiting = [(0.0, i, process) for i, process in enumerate(processes)]
    while waiting:
        now, i, process = heappop(waiting)
        if (wait_s := next(process, None)) is not None:
            heappush(waiting, (now + wait_s, i, process))


@pytest.mark.no_cover
@pytest.mark.parametrize("n_processes", [2, 4])
def test_processes_that_ask_no_other_compute_few_shards_twice(
    tmp_path: Path, n_processes: int
) -> None:
    random.seed(n_processes)
    paces = 1 + np.linspace(-0.2, 0.2, n_processes)
    for run in range(5):
        cell = shards_of(tmp_path / f"{run}")
        made: list[int] = []
        run_together([process(cell, pace, made) for pace in paces])
        assert set(made) == set(range(N_SHARDS))
        assert len(made) - N_SHARDS < MAX_TWICE
        assert not begun_files(cell.folder)


def test_a_process_alone_goes_round_once_from_anywhere(tmp_path: Path, count: Count) -> None:
    cell = shards_of(tmp_path)
    starts = set()
    for first, step in [(0, 1)] * 5 + [(1, 3)] * 5:
        own = range(N_SHARDS)[first::step]
        with closing(Turns(cell, cell.split.names[first::step], count)) as turns:
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
    begin_file(cell.rows_path(others))
    mark = begin_file(cell.rows_path(left))
    assert mark is not None
    mark.write_text(dead_tag())
    put(cell, there)
    with closing(Turns(cell, (mine, others, left, there), count)) as turns:
        assert {shard.index for shard in turns.shards()} == {0, 2}
        assert f"-{os.getpid()}-" in mark.read_text()
        assert [*turns.left] == [others], "first, the caller does what is its own"
        assert [shard.index for shard in turns.shards()] == [1]
        assert not turns.left
    assert begun_files(cell.folder) == {f"{others}.npz"}, "it is for the other one to end"
    with closing(Turns(cell, (others,), count)) as turns:
        put(cell, others)
        assert not list(turns.shards())


def test_an_error_shows_no_shard_as_begun(tmp_path: Path, count: Count) -> None:
    cell = shards_of(tmp_path)
    turns = Turns(cell, cell.split.names, count)
    shards = turns.shards()
    assert next(shards) != next(shards)
    assert len(begun_files(cell.folder)) == 2
    turns.close()
    assert not begun_files(cell.folder)


def test_no_folder_is_listed_before_a_shard(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = shards_of(tmp_path)
    cell.put(cell.split.names[0], rows_of(0, cell.split), maker="a processor")
    listed: list[Path] = []
    glob = Path.rglob

    def spy(path: Path, pattern: str) -> Iterator[Path]:
        listed.append(path)
        return glob(path, pattern)

    monkeypatch.setattr(Path, "rglob", spy)
    with closing(Turns(cell, cell.split.names, count)) as turns:
        assert len([*turns.shards()]) == N_SHARDS - 1
    assert len(listed) == 1, "for leftovers, once"
    for name in cell.split.names[:2]:
        with closing(Turns(cell, (name,), count)) as turns:
            list(turns.shards())
    assert len(listed) == 1
