"""A thousand workers at a million shards, without a model: what claims and marks cost.

A tenth of the shards by default, for the whole million takes a quarter of an hour:
``USAM_BENCH_SHARDS=1000000``.
"""

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from storage.cell.claims import FOLDER as CLAIMS
from storage.cell.claims import Claims, Watch
from storage.files.manifest import FileRecord
from storage.store.marks import FOLDER as MARKS
from storage.store.marks import Mark, load_mark, put_mark, receipt_of
from tests.fixtures.bars import note_bar

N_WORKERS = 1000
N_SHARDS = int(os.environ.get("USAM_BENCH_SHARDS", "100_000"))
N_CELLS = 24
N_PROCESSES = 2

SHARD_S = 0.2
"""Work of a shard at the least: the tiny model on an A100, without masks, see docs/scale.md."""

MAX_SHARE = 0.01
"""Coordination over that work: the bar."""

RECORD = FileRecord(2**20, "0" * 64)
FILES = {f"features.zarr/array{i}/c.0.0.0": RECORD for i in range(11)} | {
    "masks.zarr/mask_code/c.0.0.0.0.0": RECORD
}
"""As many as the stores of a cell have."""


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, so that no disk is timed."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.benchmark(min_rounds=1, max_time=0.1)
def test_claims_and_marks_cost_less_than_a_hundredth_of_the_work(
    memory: Path, benchmark: BenchmarkFixture
) -> None:
    shards = -(-N_SHARDS // N_CELLS)
    started, seconds, n_done = perf_counter(), 0.0, 0
    scan_s = watch_s = 0.0
    with ProcessPoolExecutor(N_PROCESSES, get_context("spawn")) as pool:
        for cell in range(N_CELLS):
            folder = memory / str(cell)
            (folder / MARKS).mkdir(parents=True)
            each = [pool.submit(work, folder, shards, part) for part in range(N_PROCESSES)]
            done = [future.result() for future in each]
            seconds += sum(taken for taken, _ in done)
            n_done += sum(n for _, n in done)
            assert all(load_mark(folder, shard) for shard in range(shards))
            assert not list((folder / CLAIMS).iterdir())
            scan_s += timed_scan(folder, shards)
            watch_s = max(watch_s, timed_watch(folder))
            # In memory lies one cell at a time.
            shutil.rmtree(folder)
    ms = 1000 * seconds / (shards * N_CELLS)
    benchmark.pedantic(lambda: None, rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info |= {"ms_per_shard": ms, "share": ms / 1000 / SHARD_S}
    what = f"claims and marks of {N_WORKERS:,} workers at {N_SHARDS:,} shards, over their work"
    note_bar(benchmark, what, ms / 1000 / SHARD_S, at_most=MAX_SHARE)
    print(
        f"\n{N_WORKERS} workers, {shards * N_CELLS} shards in {N_CELLS} cells, "
        f"{n_done - shards * N_CELLS} done twice: {ms:.2f} ms of a processor per shard, "
        f"{ms / 10 / SHARD_S:.2f} % of {SHARD_S} s of work (at most {100 * MAX_SHARE:.0f} %); "
        f"all marks are read in {scan_s:.0f} s, a look at {N_WORKERS} claims takes "
        f"{1000 * watch_s:.0f} ms; {perf_counter() - started:.0f} s in all"
    )
    assert ms / 1000 / SHARD_S <= MAX_SHARE


def work(folder: Path, n_shards: int, part: int) -> tuple[float, int]:
    """Be a part of the workers at a cell, which others begin at another place.

    Each holds one claim at a time, as long as all others take to come to their next.

    Returns
    -------
    Seconds of the processor, and the shards that were done.
    """
    started, n_done = process_time(), 0
    busy: deque[tuple[Claims, int]] = deque()
    first = part * n_shards // N_PROCESSES
    for place in range(n_shards):
        shard = (first + place) % n_shards
        claims = Claims(folder)
        if claims.take(shard) and load_mark(folder, shard) is None:
            busy.append((claims, shard))
        else:
            claims.close()
        if len(busy) == N_WORKERS // N_PROCESSES:
            finish(folder, *busy.popleft())
            n_done += 1
    for claims, shard in busy:
        finish(folder, claims, shard)
    return process_time() - started, n_done + len(busy)


def finish(folder: Path, claims: Claims, shard: int) -> None:
    """Mark a shard, as if its work were done."""
    put_mark(folder, shard, Mark("0" * 64, FILES, receipt_of("none", 128, SHARD_S)))
    claims.release(shard)
    claims.close()


def timed_scan(folder: Path, n_shards: int) -> float:
    """Seconds to read the marks of a cell, as every process that fills does when it begins."""
    started = perf_counter()
    for shard in range(n_shards):
        load_mark(folder, shard)
    return perf_counter() - started


def timed_watch(folder: Path) -> float:
    """Seconds of a look at the claims of all workers."""
    held = Claims(folder)
    for shard in range(N_WORKERS):
        held.take(shard)
    watch = Watch()
    watch.living(folder)
    started = perf_counter()
    assert len(watch.living(folder)) == N_WORKERS
    seconds = perf_counter() - started
    held.close()
    return seconds
