"""Extraction of one image of COCO's size, at the models' full size, against the bare model.

By the time of the processor, in one thread, as a process extracts on a CPU: the clock would count
the second core for us, on which a thread scores masks while the next ones are decoded. Random
weights in bf16, identity view, all nine prompt sets; the bars are ratios of one run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from transformers import AutoModel, PreTrainedModel

from pipeline.extraction.shards import decoder_batch
from pipeline.prompts import sample_prompts
from pipeline.sam.building import build
from pipeline.sam.families import FAMILIES, TransformersModel
from pipeline.sam.model import Sam
from pipeline.sam.transformers_models import full_size
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from stages.extraction.steps import CellSteps, run_shards, writer_of
from storage.folders import sha256_file
from storage.images.videos import SplitImages
from storage.pool.cell import Cell
from storage.rle import encode_rle
from storage.split.cell_name import CellName
from storage.split.object_table import ObjectTable
from storage.split.sharded_table import ShardedTable
from storage.store.writing import full_signature
from tests.fixtures.measured import least_busy_s
from tools.bars import Bar, missed_bars

HEIGHT_PX, WIDTH_PX = 480, 640

PLAIN_BATCH: Final = 2
"""Prompt sets per call that suit SAM2's own decoder best."""

SHARD_OBJECTS: Final = 128
N_OBJECTS: Final = 15

MOST_TIME: Final = {"tiny": 0.80, "large": 0.85}
"""Most time of an extraction, as a multiple of SAM2's own encoder and decoder."""

MOST_TRANSFORMERS_TIME: Final = {"edgetam": 0.80, "sam3": 0.95}
"""The same, as a multiple of what ``transformers`` takes for the answers alone. Most of the
time of SAM 3 is its encoder's, which is the same code on both sides."""

LEAST_SPEEDUP: Final = {"tiny": 5.0, "large": 7.0}
"""In objects/s, over a loop that encodes the image per object and decodes a prompt per call."""

N_LOOPED: Final = 3
"""Objects of that loop; each costs the same."""


@dataclass(frozen=True)
class Work:
    """A model, and one image with its objects on disk."""

    family: str
    sam: Sam
    rgb: np.ndarray
    table: ObjectTable
    folder: Path

    @classmethod
    def of(cls, family: str, model: str, folder: Path) -> "Work":
        """Random weights, and a drawn image."""
        sam = Sam(build(family, model, seed=0), device=torch.device("cpu"), precision="bf16")
        rgb, masks = _draw_image(N_OBJECTS)
        return cls(family, sam, rgb, _write_image(folder, rgb, masks), folder)

    @property
    def batch(self) -> int:
        """Prompt sets per decoder call."""
        return decoder_batch("auto", device="cpu", mask_size_px=self.sam.mask_size_px)

    def extract(self) -> None:
        """All that the stage does for one cell: read, encode, decode, score, code, write."""
        sam, known = self.sam, FAMILIES[self.family]
        split, pool = ShardedTable(self.table, SHARD_OBJECTS), Path(mkdtemp(dir=self.folder))
        of_cell: dict[str, object] = {"family": self.family, "prompts": PROMPTS, "view": "identity"}
        batches = {"encoder_batch": 1, "decoder_batch": self.batch}
        signature = full_signature(of_cell | {"shard_objects": SHARD_OBJECTS} | batches)
        sizes = {
            "channel": known.n_channels,
            "encoder_channel": known.n_encoder_channels,
            **dict.fromkeys(("y", "x"), known.mask_side_px),
        }
        name = CellName("timed", "tiny", default_view("identity"), PROMPTS, with_masks=True)
        images = SplitImages(self.folder, [str(file) for file in self.table.file])
        cell = Cell(name, signature, split, sizes, pool)
        steps = CellSteps(sam, cell, images)
        write = writer_of(cell, sam.device)
        assert run_shards(split.shards.values(), steps, write, lambda _: None) == {}

    def bare(self) -> None:
        """SAM2 as it comes: its encoder once, and its decoder at its best batch."""
        embedding = self.sam.encode(self.rgb)
        for clicks in self._calls(PLAIN_BATCH):
            self.sam.decode_plainly(embedding, clicks)

    @torch.inference_mode()
    def by_transformers(self, model: PreTrainedModel) -> None:
        """The calls of ``transformers``: its encoder once, its decoder at its best batch."""
        with torch.autocast("cpu", torch.bfloat16):
            levels = model.get_image_embeddings(self.sam.square(self.rgb).pixels)
            for clicks in self._calls(PLAIN_BATCH):
                model(image_embeddings=levels, input_points=torch.from_numpy(clicks)[None])

    def loop(self, n_objects: int) -> None:
        """As research code does it: the image per object, a prompt per call, nothing kept."""
        for clicks in self.table.point_px[:n_objects].astype(np.float32):
            embedding = self.sam.encode(self.rgb)
            for prompt in (*(click[None] for click in clicks), clicks):
                self.sam.decode_plainly(embedding, prompt[None])

    def _calls(self, batch: int) -> Iterator[np.ndarray]:
        points = self.table.point_px.astype(np.float32)
        for some in (points.reshape(-1, 1, 2), points):
            yield from (some[start : start + batch] for start in range(0, len(some), batch))


def _draw_image(n_objects: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    center_x, center_y = rng.uniform(60, 580, n_objects), rng.uniform(60, 420, n_objects)
    radius = rng.uniform(15, 90, n_objects)
    masks = np.hypot(x - center_x[:, None, None], y - center_y[:, None, None])
    masks = masks < radius[:, None, None]
    rgb = rng.integers(0, 60, (HEIGHT_PX, WIDTH_PX, 3))
    for mask, colour in zip(masks, rng.integers(40, 190, (n_objects, 3)), strict=True):
        rgb[mask] += colour - rgb[mask] // 2
    return np.clip(rgb, 0, 255).astype(np.uint8), masks


def _write_image(folder: Path, rgb: np.ndarray, masks: np.ndarray) -> ObjectTable:
    Image.fromarray(rgb).save(folder / "image.jpg", quality=95)
    n_objects = len(masks)
    return ObjectTable(
        file=np.array(["image.jpg"], object),
        height_px=np.array([HEIGHT_PX], np.int32),
        width_px=np.array([WIDTH_PX], np.int32),
        image_sha256=np.array([sha256_file(folder / "image.jpg")], object),
        image_index=np.zeros(n_objects, np.int32),
        object_id=np.arange(n_objects, dtype=np.int64),
        area_px=masks.sum((1, 2)),
        box_px=np.zeros((n_objects, 4), np.float32),
        mask_rle=np.array([encode_rle(mask) for mask in masks], object),
        point_px=np.stack([sample_prompts(mask, i) for i, mask in enumerate(masks)]),
    )


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("family", MOST_TRANSFORMERS_TIME)
def test_extraction_takes_less_than_the_calls_of_transformers(
    family: str, benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    ((model, member),) = FAMILIES[family].models.items()
    assert isinstance(member, TransformersModel)
    work = Work.of(family, model, tmp_path)
    theirs = AutoModel.from_config(full_size(member.kind)).eval()
    runs = work.extract, partial(work.by_transformers, theirs)
    ours_s, theirs_s = benchmark.pedantic(least_busy_s, (1, *runs), rounds=1)  # type: ignore[no-untyped-call]
    print(f"\n{ours_s:.1f} s of a core")
    what = f"extraction of an image of {N_OBJECTS} objects, {family}, over transformers"
    bar = Bar(what, ours_s / theirs_s, at_most=MOST_TRANSFORMERS_TIME[family])
    assert missed_bars(benchmark, bar) == []


@pytest.mark.parametrize("model", MOST_TIME)
def test_extraction_takes_less_than_the_bare_model(
    model: str, benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    work = Work.of("sam2.1", model, tmp_path)
    runs = work.extract, work.bare, partial(work.loop, N_LOOPED)
    ours_s, bare_s, loop_s = benchmark.pedantic(least_busy_s, (1, *runs), rounds=1)  # type: ignore[no-untyped-call]
    speedup = (loop_s / N_LOOPED) / (ours_s / N_OBJECTS)
    what = f"extraction of an image of {N_OBJECTS} objects, {model}"
    of_loop = ": speed over a loop of encodings per object and calls per prompt"
    missed = missed_bars(
        benchmark,
        Bar(f"{what}, over SAM2 alone", ours_s / bare_s, at_most=MOST_TIME[model]),
        Bar(what + of_loop, speedup, at_least=LEAST_SPEEDUP[model]),
    )
    assert missed == []
