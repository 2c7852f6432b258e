"""What a new user waits for: the whole demo, after the installation, and the start of programs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.fixtures.cores import held_to, own_cores
from tests.fixtures.project_copy import copy_files
from tools.bars import Bar, missed_bars

N_CORES = 2

DEMO = ("make", "--old-file=.venv/.installed-stages", f"CORES={N_CORES}", "demo")
"""After the installation, which is that of this very Python."""

MEASURED = """
import pathlib, resource, subprocess, sys
subprocess.run(sys.argv[2:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
pathlib.Path(sys.argv[1]).write_text(f"{1024 * used.ru_maxrss}")
"""
"""Runs a command in a small process: what is started by a large one counts as large."""

MAX_MINUTES = 3
"""On so many cores that do nothing else, as README promises."""

MAX_GB = 4.0
"""Most memory of the largest process."""

MAX_START_S = 1.0
N_STARTS = 3

PROGRAMS = (
    "stages.prepare",
    "stages.extract",
    "stages.extract_train",
    "stages.tune",
    "stages.entropy",
    "stages.evaluate",
    "stages.gallery",
    "stages.report",
    "stages.cli.app",
)


@pytest.fixture
def two_cores() -> Iterator[None]:
    """Hold this process, and all that it starts, to two cores of a larger machine."""
    with held_to(own_cores(N_CORES)):
        yield


@pytest.mark.usefixtures("two_cores")
def test_the_demo_takes_some_minutes_and_little_memory(
    tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    copy_files(tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    # `make bench` sets the first, a user neither: jobs of one make would be told to another.
    env = {k: v for k, v in os.environ.items() if k not in {"OMP_NUM_THREADS", "MAKEFLAGS"}}
    told = tmp_path / "largest_bytes"
    started = perf_counter()
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        subprocess.run,
        ((sys.executable, "-c", MEASURED, str(told), *DEMO),),
        {"cwd": tmp_path, "env": env, "check": True},
        rounds=1,
    )
    minutes, gigabytes = (perf_counter() - started) / 60, int(told.read_text()) / 1e9
    cache_mb = [megabytes(tmp_path / "cache")]
    clean = (".venv/bin/usam", "cache", "clean", "--yes")
    subprocess.run(clean, cwd=tmp_path, env=env, check=True)
    cache_mb.append(megabytes(tmp_path / "cache"))
    missed = missed_bars(
        benchmark,
        Bar("the demo on two cores", minutes, at_most=MAX_MINUTES, unit="min"),
        Bar("the demo: largest process", gigabytes, at_most=MAX_GB, unit="GB"),
        Bar("the demo: files in `cache`", cache_mb[0], unit="MB"),
        Bar("the demo: files in `cache` after `usam cache clean`", cache_mb[1], unit="MB"),
    )
    assert missed == []


def megabytes(folder: Path) -> float:
    """Size of all files below a folder; a file with several names counts once."""
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum({file.st_ino: file.st_size for file in files}.values()) / 1e6


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_starts_within_a_second(program: str, benchmark: BenchmarkFixture) -> None:
    command = [sys.executable, "-c", f"import {program}"]
    seconds = []

    def start() -> None:
        started = perf_counter()
        subprocess.run(command, check=True)
        seconds.append(perf_counter() - started)

    benchmark.pedantic(start, rounds=N_STARTS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    # The least: what else the machine does only adds to it.
    what = "start of a stage or of `usam`"
    bar = Bar(what, min(seconds), at_most=MAX_START_S, unit="s", case=f"`{program}`")
    assert missed_bars(benchmark, bar) == []
