"""All of an extraction but the model, on two cores and on one."""

from pytest_benchmark.fixture import BenchmarkFixture

from stages.extraction.host_speed import host_speed
from tests.fixtures.cores import held_to, own_cores
from tests.fixtures.signatures import extract_params
from tools.bars import Bar, missed_bars

MIN_RATIO = 1.6

N_TURNS = 3

N_IMAGES = 32

VIEW = "gnoise"
"""The view that takes the host the longest."""


def test_two_cores_feed_a_gpu_faster_than_one(benchmark: BenchmarkFixture) -> None:
    params, cores = extract_params(family="sam2.1"), own_cores(2)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(N_TURNS):
        for n_cores, of_turns in seconds.items():
            with held_to(cores[:n_cores]):
                of_turns.append(host_speed(params, VIEW, N_IMAGES).host_s)
    benchmark.pedantic(lambda: None, rounds=1)  # type: ignore[no-untyped-call]
    ratio = min(seconds[1]) / min(seconds[2])
    what = "reading and writing of an extraction, without a model: two cores over one: speed"
    assert missed_bars(benchmark, Bar(what, ratio, at_least=MIN_RATIO)) == []
