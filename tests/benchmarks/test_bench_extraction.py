"""Extraction of one image of COCO's size, at the models' full size, against the bare model.

Random weights, bf16, identity view, all nine prompt sets. The bars are ratios of one run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from pipeline.extraction.plan import decoder_batch, plan_shards
from pipeline.prompts import sample_prompts
from pipeline.sam.model import Sam, build
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from stages.extraction.loop import run_shards
from stages.extraction.steps import CellSettings, CellSteps
from storage.cell.making import Cell, CellPlan
from storage.images.files import sha256_file
from storage.images.of_split import SplitImages
from storage.rle import encode_rle
from storage.split.objects import ObjectTable, images_of_shards

HEIGHT_PX, WIDTH_PX, N_OBJECTS = 480, 640, 15

MOST_OVERHEAD = 1.25
"""Most time of an extraction, as a multiple of the bare encoder and batched decoder."""

LEAST_SPEEDUP = {"tiny": 2.0, "large": 3.5}
"""In objects/s, over a loop that encodes the image per object and decodes a prompt per call."""

N_LOOPED = 3
"""Objects of that loop; each costs the same."""


@dataclass(frozen=True)
class Work:
    """A model, and one image with its objects on disk."""

    sam: Sam
    rgb: np.ndarray
    table: ObjectTable
    folder: Path

    @property
    def batch(self) -> int:
        return decoder_batch("auto", device="cpu", mask_size_px=self.sam.mask_size_px)

    def extract(self) -> None:
        """All that the stage does for one cell: read, encode, decode, score, code, write."""
        plan = CellPlan(PROMPTS, self.table.object_id, 256, self.sam.mask_size_px, 128)
        shards = plan_shards(self.table.image_index, 128)
        content = images_of_shards(self.table, N_OBJECTS)
        settings = CellSettings(default_view("identity"), PROMPTS, self.batch, with_masks=True)
        images = SplitImages(self.folder, [str(file) for file in self.table.file])
        work = self.folder / f"work-{time.monotonic_ns()}"
        cell = Cell.open(work, {"bench": 1}, plan)
        steps = CellSteps(self.sam, cell, self.table, images, content, settings)
        assert run_shards(shards, steps, lambda _: None) == ()

    def bare(self) -> None:
        """The encoder once, and the decoder in batches."""
        embedding = self.sam.encode(self.rgb)
        points = self.table.point_px.astype(np.float32)
        singles = points.reshape(-1, 1, 2)
        for some in (singles, points):
            for start in range(0, len(some), self.batch):
                self.sam.decode(embedding, some[start : start + self.batch])

    def loop(self) -> None:
        """As research code does it: the image per object, a prompt per call, nothing kept."""
        for clicks in self.table.point_px[:N_LOOPED].astype(np.float32):
            embedding = self.sam.encode(self.rgb)
            for prompt in (*(click[None] for click in clicks), clicks):
                self.sam.decode(embedding, prompt[None])


@pytest.fixture(scope="module", params=["tiny", "large"])
def work(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp(request.param)
    sam = Sam(build("sam2.1", request.param, seed=0), device=torch.device("cpu"), precision="bf16")
    rgb, masks = draw_image()
    return Work(sam, rgb, write_image(folder, rgb, masks), folder)


def draw_image() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    center_x, center_y = rng.uniform(60, 580, N_OBJECTS), rng.uniform(60, 420, N_OBJECTS)
    radius = rng.uniform(15, 90, N_OBJECTS)
    masks = np.hypot(x - center_x[:, None, None], y - center_y[:, None, None])
    masks = masks < radius[:, None, None]
    rgb = rng.integers(0, 60, (HEIGHT_PX, WIDTH_PX, 3))
    for mask, colour in zip(masks, rng.integers(40, 190, (N_OBJECTS, 3)), strict=True):
        rgb[mask] += colour - rgb[mask] // 2
    return np.clip(rgb, 0, 255).astype(np.uint8), masks


def write_image(folder: Path, rgb: np.ndarray, masks: np.ndarray) -> ObjectTable:
    from PIL import Image  # noqa: PLC0415

    Image.fromarray(rgb).save(folder / "image.jpg", quality=95)
    return ObjectTable(
        file=np.array(["image.jpg"], object),
        height_px=np.array([HEIGHT_PX], np.int32),
        width_px=np.array([WIDTH_PX], np.int32),
        image_sha256=np.array([sha256_file(folder / "image.jpg")], object),
        image_index=np.zeros(N_OBJECTS, np.int32),
        object_id=np.arange(N_OBJECTS, dtype=np.int64),
        area_px=masks.sum((1, 2)),
        box_px=np.zeros((N_OBJECTS, 4), np.float32),
        mask_rle=np.array([encode_rle(mask) for mask in masks], object),
        point_px=np.stack([sample_prompts(mask, i) for i, mask in enumerate(masks)]),
    )


def seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def test_extraction_costs_little_more_than_the_bare_model(
    work: Work, benchmark: BenchmarkFixture
) -> None:
    model = (
        "large"
        if work.sam.model.image_encoder.trunk.patch_embed.proj.out_channels > 100
        else "tiny"
    )
    work.bare()
    # In turn, for the machine's speed drifts.
    bare, loop = [], []

    def others() -> None:
        bare.append(seconds(work.bare))
        loop.append(seconds(work.loop))

    benchmark.pedantic(work.extract, setup=others, rounds=2)  # type: ignore[no-untyped-call]
    ours = benchmark.stats.stats.min  # type: ignore[union-attr]
    overhead = ours / min(bare)
    speedup = (min(loop) / N_LOOPED) / (ours / N_OBJECTS)
    benchmark.extra_info.update(overhead=overhead, speedup=speedup)
    print(
        f"\n{model}, {N_OBJECTS} objects, {torch.get_num_threads()} threads, batches of "
        f"{work.batch}: {ours:.1f} s, {overhead:.2f} x the bare model, "
        f"{speedup:.2f} x the objects/s of the loop"
    )
    assert overhead <= MOST_OVERHEAD
    assert speedup >= LEAST_SPEEDUP[model]


@pytest.mark.parametrize("batch", [1, 2, 4, 8, 16, 32])
def test_decoder_batches(work: Work, benchmark: BenchmarkFixture, batch: int) -> None:
    """Time a prompt set by the size of its call; ``pipeline.extraction.plan`` holds the fastest."""
    embedding = work.sam.encode(work.rgb)
    points = np.random.default_rng(0).uniform(0, 400, (batch, 1, 2)).astype(np.float32)
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        work.sam.decode, args=(embedding, points), rounds=3, warmup_rounds=1
    )
    a_prompt_s = benchmark.stats.stats.min / batch  # type: ignore[union-attr]
    print(f"\nbatch of {batch}: {1000 * a_prompt_s:.1f} ms a prompt set")
