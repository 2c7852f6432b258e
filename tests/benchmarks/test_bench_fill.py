"""Cells of the demo, filled by one process and by two.

A process has threads that read, score and code beside its decoder, and so takes more than a core
where it finds one free: what two do in a while is held to what one does with half as many cores.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter

from pytest_benchmark.fixture import BenchmarkFixture

from tests.fixtures.bars import note_bar
from tests.fixtures.cores import held_to, own_cores
from tests.fixtures.project_copy import copy_files

MIN_RATIO = 1.7
"""Of two processes over one, each held to a core of its own that does nothing else."""

SOME = "*/base_plus/*"
"""A quarter of the work, for the figure that is only noted."""


def test_two_processes_fill_all_cells_in_little_more_than_half_the_time(
    tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    copy_files(tmp_path)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path}
    for command in ("git init --quiet", "dvc repro --quiet --glob prepare@*"):
        subprocess.run(command.split(), cwd=tmp_path, env=env, check=True)

    def start(cores: Iterable[int], glob: str) -> subprocess.Popen[bytes]:
        command = ["usam", "fill", glob]
        with held_to(cores):
            return subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)

    def fill(cores: Sequence[Iterable[int]], glob: str) -> tuple[float, float]:
        """Seconds of a process for each item of ``cores``, and of the processor's time."""
        shutil.rmtree(tmp_path / "cache/work", ignore_errors=True)
        started = perf_counter(), _busy_s()
        running = [start(some, glob) for some in cores]
        assert [process.wait() for process in running] == [0] * len(cores)
        return perf_counter() - started[0], _busy_s() - started[1]

    first, second = own_cores(2)
    one_s, one_busy_s = fill([[first]], "*")
    two_s, two_busy_s = benchmark.pedantic(  # type: ignore[no-untyped-call]
        fill, ([[first], [second]], "*"), rounds=1
    )
    free_one_s, free_two_s = (fill([[first, second]] * n, SOME)[0] for n in (1, 2))
    ratio, free_ratio = one_s / two_s, free_one_s / free_two_s
    what = "all cells of the demo: speed of two processes over one"
    note_bar(benchmark, f"{what}, a core each", ratio, at_least=MIN_RATIO)
    note_bar(benchmark, f"cells of `{SOME}`: the same, both cores open to each", free_ratio)
    # Processor time tells a slow pair from a busy machine.
    print(
        f"\nall cells, a core each: {one_s:.0f} s ({one_busy_s:.0f} s busy) by one process, "
        f"{two_s:.0f} s ({two_busy_s:.0f} s) by two: {ratio:.2f} times (at least {MIN_RATIO}); "
        f"cells of {SOME}, both cores open to each: {free_one_s:.0f} s and {free_two_s:.0f} s, "
        f"{free_ratio:.2f} times"
    )
    assert ratio >= MIN_RATIO


def _busy_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
