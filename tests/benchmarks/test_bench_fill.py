"""All cells of the demo, filled by one process and by two."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from pytest_benchmark.fixture import BenchmarkFixture

from tests.fixtures.bars import note_bar
from tests.fixtures.project_copy import copy_files

MIN_RATIO = 1.7
"""Of two processes over one, on two cores that do nothing else."""


def test_two_processes_fill_all_cells_in_little_more_than_half_the_time(
    tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    copy_files(tmp_path)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path}
    for command in ("git init --quiet", "dvc repro --quiet --glob prepare@*"):
        subprocess.run(command.split(), cwd=tmp_path, env=env, check=True)

    def fill(n_processes: int) -> float:
        shutil.rmtree(tmp_path / "cache/work", ignore_errors=True)
        started = perf_counter()
        running = [
            subprocess.Popen(["usam", "fill"], cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
            for _ in range(n_processes)
        ]
        assert [process.wait() for process in running] == [0] * n_processes
        return perf_counter() - started

    one = fill(1)
    two = benchmark.pedantic(fill, (2,), rounds=1)  # type: ignore[no-untyped-call]
    ratio = one / two
    what = "all cells of the demo: speed of two processes over one"
    note_bar(benchmark, what, ratio, at_least=MIN_RATIO)
    print(f"\nall cells: {one:.0f} s by one process, {two:.0f} s by two: {ratio:.2f} times")
    assert ratio >= MIN_RATIO
