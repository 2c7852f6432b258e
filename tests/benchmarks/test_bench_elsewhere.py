"""Entropies of cells in a bucket of this machine against those of cells on its disk.

The program has a core, and the server has another, as it would have a machine of its own.
"""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pipeline.views import default_view
from pipeline.vocabulary import MODELS
from stages.executor.cells import cells_to_open
from stages.settings.blocks import ExecutorParams
from stages.settings.signatures import eval_cells, settings_of_cells
from stages.shard_entropies import split_arrays
from storage.paths import CACHE
from tests.fixtures.bars import note_bar
from tests.fixtures.bucket import s3_server, upload, use_server
from tests.fixtures.cores import held_to, own_cores
from tests.fixtures.signatures import extract_params
from tests.fixtures.soft_cells import VIEWS, write_soft_cells

N_OBJECTS, SHARD_OBJECTS = 256, 64
"""So many that the opening of 48 stores is a small part: moto answers 500 requests a second."""

N_ROUNDS = 2
MAX_RATIO = 1.5
"""Time from the bucket over that from the disk, opening included: the bar."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cache in a bucket; the same lies in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_soft_cells("bench", N_OBJECTS, shard_objects=SHARD_OBJECTS)
    for_program, for_server = own_cores(2)
    with held_to([for_server]), s3_server() as server:
        use_server(server, monkeypatch)
        uploaded = upload(CACHE, "cache")
        with held_to([for_program]):
            yield uploaded


@pytest.mark.benchmark(min_rounds=1, max_time=0.1)
def test_entropies_from_a_bucket_take_little_longer(
    address: str, benchmark: BenchmarkFixture
) -> None:
    views = [default_view(view) for view in VIEWS]
    params = extract_params(shard_objects=SHARD_OBJECTS)
    asked = settings_of_cells(params, eval_cells("bench", MODELS, views))

    def seconds(cache: str | Path) -> tuple[float, float]:
        started = perf_counter(), process_time()
        arrays = split_arrays(
            cells_to_open("bench", asked, cache, with_masks=True), ExecutorParams(n_threads=1)
        )
        found.append(arrays["h_y"])
        return perf_counter() - started[0], process_time() - started[1]

    found: list[np.ndarray] = []
    seconds(CACHE)  # compiles
    # In turn, so that a busy moment of the machine hits both.
    times = np.array([(seconds(CACHE), seconds(address)) for _ in range(N_ROUNDS)])
    (here_s, here_cpu_s), (there_s, there_cpu_s) = times.min(axis=0)
    benchmark.pedantic(seconds, (address,), rounds=1)  # type: ignore[no-untyped-call]
    what = "entropies of cells in a bucket, over those on the disk"
    note_bar(benchmark, what, there_s / here_s, at_most=MAX_RATIO)
    n_bytes = sum(path.stat().st_size for path in CACHE.rglob("c.*"))
    print(
        f"\nentropies of {N_OBJECTS} objects, {n_bytes / 1e6:.0f} MB, on a core: {there_s:.1f} s "
        f"({there_cpu_s:.1f} s of it busy) from a bucket, {here_s:.1f} s ({here_cpu_s:.1f} s) from "
        f"the disk, ratio {there_s / here_s:.2f} (at most {MAX_RATIO})"
    )
    assert all(np.array_equal(some, found[0]) for some in found)
    assert there_s / here_s <= MAX_RATIO
