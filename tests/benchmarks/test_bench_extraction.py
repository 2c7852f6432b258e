"""Extraction of one image of COCO's size, at the models' full size, against the bare model.

By the time of the processor, in one thread, as a process extracts on a CPU: the clock would count
the second core for us, on which a thread scores masks while the next ones are decoded.

The bars are ratios of one run.
"""

from functools import partial

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.benchmarks.timed_extraction import PLAIN_BATCH, Work, least_seconds
from tests.fixtures.bars import note_bar

pytestmark = pytest.mark.usefixtures("one_thread")

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


def test_extraction_takes_less_than_the_bare_model(
    named_work: tuple[str, Work], benchmark: BenchmarkFixture
) -> None:
    model, work = named_work
    work.bare()
    runs = {"ours": work.extract, "bare": work.bare, "loop": partial(work.loop, N_LOOPED)}
    seconds = benchmark.pedantic(least_seconds, (runs,), rounds=1)  # type: ignore[no-untyped-call]
    ratio = seconds["ours"] / seconds["bare"]
    speedup = (seconds["loop"] / N_LOOPED) / (seconds["ours"] / N_OBJECTS)
    what = f"extraction of an image of {N_OBJECTS} objects, {model}"
    note_bar(benchmark, f"{what}, over SAM2 alone", ratio, at_most=MOST_TIME[model])
    what += ": speed over a loop of encodings per object and calls per prompt"
    note_bar(benchmark, what, speedup, at_least=LEAST_SPEEDUP[model])
    print(
        f"\n{model}, {N_OBJECTS} objects, batches of {work.batch}: {seconds['ours']:.1f} s, "
        f"{ratio:.2f} x the bare model, {speedup:.2f} x the objects/s of the loop"
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
    runs = {
        "ours": partial(work.sam.decode, embedding, points),
        "plain": partial(work.sam.decode_plainly, embedding, plain_points),
    }
    least_seconds(runs, 1)  # a warm-up
    seconds = benchmark.pedantic(least_seconds, (runs, 3), rounds=1)  # type: ignore[no-untyped-call]
    ours = seconds["ours"] / batch
    ratio = ours / (seconds["plain"] / PLAIN_BATCH)
    print(f"\nbatch of {batch}: {1000 * ours:.1f} ms a prompt set, {ratio:.2f} x SAM2's decoder")
    if batch == work.batch:
        what = f"decoder of {model} in batches of {batch}, over SAM2's at its best batch"
        note_bar(benchmark, what, ratio, at_most=MOST_DECODER_TIME)
        assert ratio <= MOST_DECODER_TIME
