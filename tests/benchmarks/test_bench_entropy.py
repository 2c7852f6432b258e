"""Entropies of a full profile against the decompression of its chunks, one thread each."""

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numcodecs.zstd import decompress  # type: ignore[import-untyped]
from pytest_benchmark.fixture import BenchmarkFixture

from pipeline.entropy.objects import object_arrays
from pipeline.entropy.truth import truth_at_size
from pipeline.masks import CUT
from pipeline.vocabulary import MODELS
from storage.rle import decode_rle, encode_rle
from storage.split.cells import SplitCells
from storage.split.mask_blocks import block_objects, run_reader
from tests.fixtures.bars import note_bar
from tests.fixtures.signatures import open_eval
from tests.fixtures.soft_cells import VIEWS, write_soft_cells
from tests.fixtures.soft_masks import soft_masks

N_OBJECTS = 32
"""Objects of one shard: a quarter of the default, for reading scores is paid once a shard."""

N_ROUNDS = 5
MAX_RATIO = 2.0
"""CPU time of reading and computing over that of decompressing: the bar."""


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SplitCells:
    monkeypatch.chdir(tmp_path)
    write_soft_cells("bench", N_OBJECTS, shard_objects=N_OBJECTS)
    return open_eval("bench", MODELS, VIEWS, with_masks=True, shard_objects=N_OBJECTS)


@pytest.mark.benchmark(min_rounds=1, max_time=0.1)
def test_entropies_take_little_longer_than_decompression(
    cells: SplitCells, benchmark: BenchmarkFixture
) -> None:
    rows = range(N_OBJECTS)
    chunks = [cell.mask_chunks.compressed(rows) for cell in cells.by_name.values()]
    some = next(iter(cells.by_name.values())).mask_chunks
    memory = np.empty(some.shape[1:], np.uint8)

    rle = encode_rle(cv2.resize(soft_masks(1, 1)[0], (640, 480)) > CUT)

    def read_truth(some: slice) -> np.ndarray:
        return np.stack([truth_at_size(decode_rle(rle, 480, 640), 256, 256) for _ in rows[some]])

    def decompress_all() -> None:
        for shard in chunks:
            for chunk in shard:
                decompress(chunk, memory)

    def read_and_compute() -> None:
        object_arrays(
            run_reader(cells, rows),
            read_truth,
            models=cells.models,
            views=cells.views,
            block_objects=block_objects(cells),
        )

    read_and_compute()  # compiles
    # One after the other in turn, so that a busy moment of the machine hits both.
    seconds = np.array(
        [(_seconds(decompress_all), _seconds(read_and_compute)) for _ in range(N_ROUNDS)]
    )
    alone_ms, total_ms = seconds.min(axis=0) * 1000 / N_OBJECTS
    n_bytes = sum(len(chunk) for shard in chunks for chunk in shard)
    benchmark(read_and_compute)
    what = "entropies of an object, over decompressing it"
    note_bar(benchmark, what, total_ms / alone_ms, at_most=MAX_RATIO)
    print(
        f"\nentropy of an object: {total_ms:.1f} ms, decompression alone {alone_ms:.1f} ms, "
        f"ratio {total_ms / alone_ms:.2f} (at most {MAX_RATIO}); "
        f"{n_bytes / N_OBJECTS / len(MODELS) / len(VIEWS) / 27:.0f} bytes a mask"
    )
    assert total_ms / alone_ms <= MAX_RATIO


def _seconds(work: Callable[[], None]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started
