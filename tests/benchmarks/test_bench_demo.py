"""The whole demo as a new user runs it, after the installation: its time, memory and disk."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.fixtures.bars import note_bar
from tests.fixtures.cores import held_to, own_cores
from tests.fixtures.disk import MAX_PEAK, outputs_bytes, watched_disk
from tests.fixtures.project_copy import copy_files

N_CORES = 2

DEMO = ("make", "--old-file=.venv/.installed", f"CORES={N_CORES}", "demo")
"""After the installation, which is that of this very Python."""

WANTED_MINUTES = 3.5
MAX_MINUTES = 6
"""On so many cores that do nothing else: what it should take, and what README promises."""

MAX_GB = 4.0
"""Most memory of the largest process."""


@pytest.fixture
def two_cores() -> Iterator[None]:
    """Hold this process, and all that it starts, to two cores of a larger machine."""
    with held_to(own_cores(N_CORES)):
        yield


@pytest.mark.usefixtures("two_cores")
def test_the_demo_takes_some_minutes_little_memory_and_a_disk_of_its_outputs(
    tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    copy_files(tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    # `make bench` sets the first, a user neither: jobs of one make would be told to another.
    env = {k: v for k, v in os.environ.items() if k not in {"OMP_NUM_THREADS", "MAKEFLAGS"}}
    started, before = perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with watched_disk(tmp_path) as on_disk:
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            subprocess.run,
            (DEMO,),
            {"cwd": tmp_path, "env": env, "check": True},
            rounds=1,
        )
    minutes = (perf_counter() - started) / 60
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = (used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime) / 60
    gigabytes = used.ru_maxrss * 1024 / 1e9
    peak = max(on_disk) / outputs_bytes(tmp_path)
    benchmark.extra_info |= {"core_minutes": busy, "gigabytes": gigabytes, "disk_ratio": peak}
    note_bar(benchmark, "the demo on two cores", minutes, at_most=WANTED_MINUTES, unit="min")
    note_bar(benchmark, "the demo: largest process", gigabytes, at_most=MAX_GB, unit="GB")
    note_bar(benchmark, "the demo: disk at most, over its outputs", peak, at_most=MAX_PEAK)
    # The work of both cores tells a slow demo from a busy machine.
    print(
        f"\ndemo: {minutes:.1f} min on {N_CORES} cores, at most {MAX_MINUTES}, "
        f"{busy:.1f} min of work; largest process {gigabytes:.2f} GB, at most {MAX_GB:.0f}; "
        f"at most {max(on_disk) / 1e6:.0f} MB on the disk, {on_disk[-1] / 1e6:.0f} MB at the end, "
        f"{peak:.3f} of the outputs, at most {MAX_PEAK}"
    )
    assert minutes < MAX_MINUTES
    assert gigabytes < MAX_GB
    assert peak <= MAX_PEAK
