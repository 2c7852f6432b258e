"""How long a program takes until its own work begins."""

import subprocess
import sys
from time import perf_counter
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.fixtures.bars import note_bar

MAX_S: Final = 1.0
N_ROUNDS: Final = 3

PROGRAMS: Final = (
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


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_starts_within_a_second(program: str, benchmark: BenchmarkFixture) -> None:
    command = [sys.executable, "-c", f"import {program}"]
    seconds = []

    def start() -> None:
        started = perf_counter()
        subprocess.run(command, check=True)
        seconds.append(perf_counter() - started)

    benchmark.pedantic(start, rounds=N_ROUNDS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    # The least: what else the machine does only adds to it.
    note_bar(benchmark, f"start of {program}", min(seconds), at_most=MAX_S, unit="s")
    print(f"\n{program}: {min(seconds):.2f} s, at most {MAX_S}")
    assert min(seconds) < MAX_S
