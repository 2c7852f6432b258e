"""The whole demo as a new user runs it, after the installation: its time and its memory."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from tests.fixtures.project_copy import copy_files

MAX_SECONDS = 360.0
MAX_BYTES = 4e9
"""Of the largest process."""


def test_the_demo_takes_some_minutes_and_little_memory(
    tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    copy_files(tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    started = time.perf_counter()
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        subprocess.run,
        (["dvc", "repro", "--quiet"],),
        {"cwd": tmp_path, "env": os.environ | {"PATH": path}, "check": True},
        rounds=1,
    )
    seconds = time.perf_counter() - started
    n_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    benchmark.extra_info["bytes"] = n_bytes
    print(
        f"\ndemo: {seconds / 60:.1f} min on {os.cpu_count()} cores, at most "
        f"{MAX_SECONDS / 60:.0f}; largest process {n_bytes / 1e9:.2f} GB, at most "
        f"{MAX_BYTES / 1e9:.0f}"
    )
    assert seconds < MAX_SECONDS
    assert n_bytes < MAX_BYTES
