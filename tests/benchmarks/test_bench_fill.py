"""The cells of the demo, filled by one local worker and by two; processor time between shards.

A worker has threads that read, score and code beside its decoder, and so takes more than a core
where it finds one free: what two do in a while is held to what one does with half as many cores,
the driver and its scheduler among them.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter, process_time

from pytest_benchmark.fixture import BenchmarkFixture

from stages.filling.shards import Turns
from stages.program.progress import progress
from storage.paths import objects_path
from storage.pool.cell import Cell
from storage.split.object_table import read_objects
from tests.fixtures.cores import held_to, own_cores
from tests.fixtures.made_up_cell import cell_of, split_of
from tests.fixtures.mini import MODELS
from tests.fixtures.project_copy import copy_files, environment, read_params, run, write_params
from tools.bars import Bar, missed_bars

MIN_RATIO = 1.6
"""Of two workers over one, a core each, on cores that do nothing else."""

N_TURNS = 2
"""Of one worker, then two, so that a busy moment of the machine costs a turn, not the figure."""

MAX_GROWTH = 2.0
"""Of the processor time between two shards, with forty times the shards in the pool."""

SPLIT = "shapes_val"


def test_two_workers_fill_all_cells_in_little_more_than_half_the_time(
    tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    copy_files(tmp_path)
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "dvc", "repro", "--quiet", f"prepare@{SPLIT}")

    cores = own_cores(2)
    turns = [(_fill(tmp_path, 1, cores[:1]), _fill(tmp_path, 2, cores)) for _ in range(N_TURNS)]
    one_s, two_s = map(min, zip(*turns, strict=True))
    benchmark.pedantic(lambda: None, rounds=1)  # type: ignore[no-untyped-call]
    n_cells = len(MODELS) * len(read_params(tmp_path)["views"])
    n_objects = n_cells * read_objects(tmp_path / objects_path(SPLIT)).n_objects
    what = f"fill of the demo's {n_cells} cells, {n_objects:,} objects in all: two local workers"
    bar = Bar(f"{what} over one, a core each: speed", one_s / two_s, at_least=MIN_RATIO)
    assert missed_bars(benchmark, bar) == []


def test_the_time_between_two_shards_does_not_grow_with_the_pool(
    tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    shard_us = {}
    for n_shards in (1_000, 40_000):
        cell = cell_of(tmp_path / str(n_shards), split_of(n_shards * 2, 2))
        shard_us[n_shards] = _seconds_of_turns(cell) / n_shards * 1e6
        print(f"\n{n_shards:,} shards: {shard_us[n_shards]:.0f} us of a processor per shard")
    benchmark.pedantic(lambda: None, rounds=1)  # type: ignore[no-untyped-call]
    what = "processor time between two shards: 40,000 shards of a cell over 1,000"
    bar = Bar(what, shard_us[40_000] / shard_us[1_000], at_most=MAX_GROWTH)
    assert missed_bars(benchmark, bar) == []


def _seconds_of_turns(cell: Cell) -> float:
    """Processor time in which a process finds each shard of a cell, which it then writes."""
    names = cell.split.names
    with progress("fill", 0) as count:
        started = process_time()
        with closing(Turns(cell, names, count)) as turns:
            for shard in turns.shards():
                cell.rows_path(names[shard.index]).touch()
                turns.end(names[shard.index])
        return process_time() - started


def _fill(root: Path, n_workers: int, cores: Sequence[int]) -> float:
    params = read_params(root)
    write_params(root, params | {"executor": {"kind": "local", "n_workers": n_workers}})
    shutil.rmtree(root / "cache/pool", ignore_errors=True)
    # How many threads a worker computes with follows from its cores.
    env = {key: value for key, value in environment(root).items() if key != "OMP_NUM_THREADS"}
    started = perf_counter()
    with held_to(cores):
        subprocess.run(
            [sys.executable, "-m", "stages.cli", "fill", f"{SPLIT}/*"],
            cwd=root,
            env=env,
            stderr=subprocess.DEVNULL,
            check=True,
        )
    return perf_counter() - started
