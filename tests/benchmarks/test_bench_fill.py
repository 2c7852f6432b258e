"""The cells of the demo, filled by one local worker and by two.

A worker has threads that read, score and code beside its decoder, and so takes more than a core
where it finds one free: what two do in a while is held to what one does with half as many cores,
the driver and its scheduler among them.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from pytest_benchmark.fixture import BenchmarkFixture

from storage.paths import objects_path
from storage.split.object_table import read_objects
from tests.fixtures.cores import held_to, own_cores
from tests.fixtures.mini import MODELS
from tests.fixtures.project_copy import copy_files, environment, read_params, run, write_params
from tools.bars import Bar, missed_bars

MIN_RATIO = 1.7
"""Of two workers over one, a core each, on cores that do nothing else."""

N_TURNS = 2
"""Of one worker, then two, so that a busy moment of the machine costs a turn, not the figure."""

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
