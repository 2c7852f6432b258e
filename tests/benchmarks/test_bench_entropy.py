"""Entropies against what they cannot do without: decompression, and cells on this machine's disk.

And what coding masks as bytes changes in them: the figures of ``docs/cache.md``.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Final

import cv2
import numpy as np
import pytest
import torch
from numcodecs.zstd import decompress  # type: ignore[import-untyped]
from pytest_benchmark.fixture import BenchmarkFixture

from pipeline.entropy.comparisons import truth_at_size
from pipeline.entropy.mixtures import mask_entropy
from pipeline.entropy.objects import object_arrays
from pipeline.masks import CUT, decode, encode
from pipeline.prompts import sample_prompts
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.views import default_view
from pipeline.vocabulary import N_PROPOSALS, SINGLE_CLICKS
from stages.entropy_tasks import split_arrays
from stages.executor.opened_cells import CellsToOpen
from stages.settings.blocks import ExecutorParams
from stages.settings.signatures import eval_settings
from storage.paths import CACHE
from storage.rle import decode_rle, encode_rle
from storage.split.mask_blocks import block_objects, run_reader
from storage.split.split_cells import SplitCells
from storage.store.mask_chunks import read_shard_indices, read_spans
from tests.fixtures.bucket import s3_server, upload, use_server
from tests.fixtures.cores import held_to, own_cores
from tests.fixtures.drawn_masks import soft_masks
from tests.fixtures.mini import MODELS
from tests.fixtures.predictors import trained_mini
from tests.fixtures.signatures import extract_params, open_eval
from tests.fixtures.split_cells import write_soft_cells
from tools.bars import Bar, missed_bars

VIEWS: Final = ("identity", "vflip", "jpeg10", "jpeg30", "gblur5", "gnoise")

SIDE_PX: Final = 256
"""Of masks of Meta's models."""

N_OBJECTS: Final = 32
"""Objects of one shard: a quarter of the default."""

N_ROUNDS: Final = 5

MOST_OVER_DECOMPRESSION: Final = 2.25
"""Processor time of reading and computing over that of decompressing. Agreements of masks, and
pixel counts of their means, are computed, too."""

BUCKET_OBJECTS: Final = 512
SHARD_OBJECTS: Final = 64
"""So many shards that the opening of 48 stores, and the first reading, beside which nothing is
computed, are a small part: moto answers 500 requests a second."""

BUCKET_ROUNDS: Final = 2

MOST_OVER_DISK: Final = 1.5
"""Time from the bucket over that from the disk, opening included."""

N_SCENES: Final = 4
IMAGE_PX: Final = 256
"""Side of the scenes; the mini family's masks are 64 px."""

BOUND_BITS: Final = 1e-3
"""Largest change of the entropy of an object's mean mask."""


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SplitCells:
    monkeypatch.chdir(tmp_path)
    write_soft_cells("bench", N_OBJECTS, VIEWS, size_px=SIDE_PX, shard_objects=N_OBJECTS)
    return open_eval("bench", MODELS, VIEWS, with_masks=True, shard_objects=N_OBJECTS)


@pytest.mark.benchmark(min_rounds=1, max_time=0.1)
def test_entropies_take_little_longer_than_decompression(
    cells: SplitCells, benchmark: BenchmarkFixture
) -> None:
    rows = range(N_OBJECTS)
    masks = [cell.mask_chunks for cell in cells.by_name.values()]
    chunks = read_spans(masks, read_shard_indices(masks, 0), rows)
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
    alone_s, total_s = seconds.min(axis=0)
    benchmark(read_and_compute)
    what = "entropies of an object, over decompressing it"
    bar = Bar(what, total_s / alone_s, at_most=MOST_OVER_DECOMPRESSION)
    assert missed_bars(benchmark, bar) == []


def _seconds(work: Callable[[], None]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cache in a bucket; the same lies in the working directory.

    The program has a core, and the server another, as it would have a machine of its own.
    """
    monkeypatch.chdir(tmp_path)
    write_soft_cells("bench", BUCKET_OBJECTS, VIEWS, size_px=SIDE_PX, shard_objects=SHARD_OBJECTS)
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
    asked = eval_settings(extract_params(shard_objects=SHARD_OBJECTS), "bench", MODELS, views)

    def seconds(cache: str | Path) -> float:
        started = perf_counter()
        arrays = split_arrays(
            CellsToOpen("bench", asked, cache, with_masks=True), ExecutorParams(n_threads=1)
        )
        found.append(arrays["h_y"])
        return perf_counter() - started

    found: list[np.ndarray] = []
    seconds(CACHE)  # compiles
    # In turn, so that a busy moment of the machine hits both.
    times = np.array([(seconds(CACHE), seconds(address)) for _ in range(BUCKET_ROUNDS)])
    here_s, there_s = times.min(axis=0)
    benchmark.pedantic(seconds, (address,), rounds=1)  # type: ignore[no-untyped-call]
    what = "entropies of cells in a bucket, over those on the disk"
    assert all(np.array_equal(some, found[0]) for some in found)
    bar = Bar(what, there_s / here_s, at_most=MOST_OVER_DISK)
    assert missed_bars(benchmark, bar) == []


@pytest.mark.benchmark(min_rounds=1, max_time=0.1)
def test_coding_changes_the_entropy_of_mean_masks_little(benchmark: BenchmarkFixture) -> None:
    objects = np.stack(list(mini_masks()))
    assert objects.shape[1:] == (len(SINGLE_CLICKS) * N_PROPOSALS, 64, 64)
    before, after = (mask_entropy(p.mean(axis=1)) for p in (objects, decode(encode(objects))))
    benchmark(encode, objects)
    what = "coding of masks of 64 px: change of a mean mask's entropy"
    bar = Bar(what, float(np.abs(after - before).max()), at_most=BOUND_BITS, unit="bit")
    assert missed_bars(benchmark, bar) == []


def mini_masks() -> Iterator[np.ndarray]:
    """Foreground probabilities, float32 (click and proposal, y, x), of every model and object."""
    scenes = [draw_scene(seed, IMAGE_PX) for seed in scene_seeds(1, "val", N_SCENES)]
    for model in MODELS:
        sam = trained_mini(model)
        for scene in scenes:
            embedding = sam.encode(scene.rgb)
            for mask in scene.masks:
                points = sample_prompts(mask, 0)[:, np.newaxis].astype(np.float32)
                yield torch.sigmoid(sam.decode(embedding, points).logits).flatten(0, 1).numpy()
