"""Extraction of one image of COCO's size, at the models' full size, against the bare model.

The bars are ratios of one run. ``python -m docs.speed`` writes more of them to ``docs/speed.md``.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from docs.timed_extraction import PLAIN_BATCH, Work
from tests.fixtures.bars import note_bar

N_OBJECTS = 15

MOST_TIME = {"tiny": 0.80, "large": 0.85}
"""Most time of an extraction, as a multiple of SAM2's own encoder and decoder."""

MOST_DECODER_TIME = 0.70
"""Most time of a prompt set, each decoder at the batch that suits it best."""

LEAST_SPEEDUP = {"tiny": 5.0, "large": 7.0}
"""In objects/s, over a loop that encodes the image per object and decodes a prompt per call."""

N_LOOPED = 3
"""Objects of that loop; each costs the same."""


@pytest.fixture(scope="module", params=["tiny", "large"])
def named_work(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Work]:
    return request.param, Work.of(request.param, N_OBJECTS, tmp_path_factory.mktemp(request.param))


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def test_extraction_takes_less_than_the_bare_model(
    named_work: tuple[str, Work], benchmark: BenchmarkFixture
) -> None:
    model, work = named_work
    work.bare()
    # In turn, for the machine's speed drifts.
    bare, loop = [], []

    def others() -> None:
        bare.append(seconds(work.bare))
        loop.append(seconds(partial(work.loop, N_LOOPED)))

    benchmark.pedantic(work.extract, setup=others, rounds=2)  # type: ignore[no-untyped-call]
    ours = benchmark.stats.stats.min  # type: ignore[union-attr]
    ratio = ours / min(bare)
    speedup = (min(loop) / N_LOOPED) / (ours / N_OBJECTS)
    what = f"extraction of an image of {N_OBJECTS} objects, {model}"
    note_bar(benchmark, f"{what}, over SAM2 alone", ratio, at_most=MOST_TIME[model])
    what += ": speed over a loop of encodings per object and calls per prompt"
    note_bar(benchmark, what, speedup, at_least=LEAST_SPEEDUP[model])
    print(
        f"\n{model}, {N_OBJECTS} objects, {torch.get_num_threads()} threads, batches of "
        f"{work.batch}: {ours:.1f} s, {ratio:.2f} x the bare model, "
        f"{speedup:.2f} x the objects/s of the loop"
    )
    assert ratio <= MOST_TIME[model]
    assert speedup >= LEAST_SPEEDUP[model]


@pytest.mark.parametrize("batch", [1, 2, 4, 8, 16, 32])
def test_decoder_batches(
    named_work: tuple[str, Work], benchmark: BenchmarkFixture, batch: int
) -> None:
    """Time a prompt set by the size of its call; ``pipeline.extraction.plan`` holds the fastest."""
    model, work = named_work
    embedding = work.sam.encode(work.rgb)
    rng = np.random.default_rng(0)
    points, plain_points = (
        rng.uniform(0, 400, (n, 1, 2)).astype(np.float32) for n in (batch, PLAIN_BATCH)
    )
    plain: list[float] = []

    def other() -> None:
        plain.append(seconds(partial(work.sam.decode_plainly, embedding, plain_points)))

    benchmark.pedantic(  # type: ignore[no-untyped-call]
        work.sam.decode, args=(embedding, points), setup=other, rounds=3, warmup_rounds=1
    )
    ours = benchmark.stats.stats.min / batch  # type: ignore[union-attr]
    ratio = ours / (min(plain) / PLAIN_BATCH)
    print(f"\nbatch of {batch}: {1000 * ours:.1f} ms a prompt set, {ratio:.2f} x SAM2's decoder")
    if batch == work.batch:
        what = f"decoder of {model} in batches of {batch}, over SAM2's at its best batch"
        note_bar(benchmark, what, ratio, at_most=MOST_DECODER_TIME)
        assert ratio <= MOST_DECODER_TIME
