"""Measures how fast a host prepares images for a GPU and stores its answers, without a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final, cast

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from torch import Tensor

from pipeline.extraction.predictions import Collected, Rows, Targets, encode_logits
from pipeline.extraction.shards import Piece
from pipeline.sam.families import models_of
from pipeline.sam.model import Sam, Square
from pipeline.vocabulary import N_PROPOSALS, PROMPTS, SINGLE_CLICKS
from stages.extraction.speed import drawn_steps, drawn_table
from stages.extraction.steps import (
    CellSteps,
    Threads,
    ViewedImage,
    run_shards,
    threads_beside_gpu,
    writer_of,
)
from stages.settings.blocks import ExtractParams
from storage.errors import ImageError
from storage.pool.cell import MASKS, Cell, shard_arrays
from storage.split.sharded_table import ShardedTable
from storage.store.chunk_grid import MASK_CODE

VIEWS: Final = (
    *("identity", "vflip", "hflip", "gray", "scale2", "gblur5", "gnoise", "jpeg10", "jpeg30"),
)
"""The views of the paper's Table 10."""

STEEPNESS: Final = 0.3
"""Logits of the drawn masks per pixel of distance from the outline."""

ROUGHNESS: Final = 0.5
"""Standard deviation of the smooth noise of the drawn masks, in logits.

With it, a mask of 256 px takes as many bytes as a mask of a model.
"""


@dataclass(frozen=True)
class HostSpeed:
    """Time that a host takes to extract drawn scenes, apart from the model.

    Attributes
    ----------
    n_prompt_sets
        Number of prompt sets of all objects in the images.
    host_s
        Seconds by the clock to read all images and to write all arrays, with as many threads as
        extraction has beside a GPU.
    reading_s
        Seconds of a core to read images, to apply the view, and to decode the ground truth.
    writing_s
        Seconds of a core to copy, compress and write all arrays.
    mask_bytes
        Mean size of a compressed mask in bytes.
    """

    n_images: int
    n_prompt_sets: int
    host_s: float
    reading_s: float
    writing_s: float
    mask_bytes: float


def host_speed(params: ExtractParams, view: str, n_images: int) -> HostSpeed:
    """Measure how fast this host reads drawn scenes in one view and stores drawn answers.

    The answers are to all prompt sets and have masks. Files are written to a temporary folder.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        split = ShardedTable(drawn_table(root, n_images), params.shard_objects)
        shards = [*split.shards.values()]
        for pool in ("first", "second"):  # the first run warms up
            sam, model = cast("Sam", _NoModel()), models_of(params.family)[-1]
            cell_steps = drawn_steps(params, model, sam, split, root / pool, view)
            steps = _HostSteps(cell_steps, split, *_drawn_answers(cell_steps.cell, split))
            started_s = process_time()
            for piece in (piece for shard in shards for piece in shard.pieces):
                steps.read(piece)
            reading_s = process_time() - started_s
            started_s, clock_s = process_time(), perf_counter()
            write = writer_of(cell_steps.cell, sam.device)
            run_shards(shards, steps, write, lambda _: None)
            clock_s, host_s = perf_counter() - clock_s, process_time() - started_s
        stored = sum(path.stat().st_size for path in (root / pool).rglob(f"*{MASKS}"))
    n_prompt_sets = split.table.n_objects * len(PROMPTS)
    return HostSpeed(
        n_images,
        n_prompt_sets,
        host_s=clock_s,
        reading_s=reading_s,
        writing_s=host_s - reading_s,
        mask_bytes=stored / (n_prompt_sets * N_PROPOSALS),
    )


class _NoModel:
    """Stands in for a model where images are prepared; its squares contain no pixels."""

    device: Final = torch.device("cpu")
    mask_size_px: Final = 256

    def square(self, rgb: UInt8[np.ndarray, "height width 3"]) -> Square:
        return Square(torch.empty(1, 3, 1, 1), rgb.shape[:2])


@dataclass
class _HostSteps:
    """Steps of a cell that answer every image with the same rows, which were drawn before."""

    steps: CellSteps
    split: ShardedTable
    answers: dict[str, Tensor]
    """Arrays with a row per prompt set."""
    statistics: Rows
    """Arrays with a row per object."""
    encoder_batch: int = 1

    @property
    def threads(self) -> Threads:
        return threads_beside_gpu()

    def read(self, piece: Piece) -> ViewedImage | ImageError:
        return self.steps.read(piece)

    def compute(self, images: Sequence[tuple[Piece, ViewedImage]]) -> list[Rows]:
        return [self._rows(piece) for piece, _ in images]

    def _rows(self, piece: Piece) -> Rows:
        """Rows of the objects of an image, copied like rows that come from a GPU."""
        n_objects, n_clicks = piece.stop - piece.start, len(SINGLE_CLICKS)
        objects, columns = np.indices((n_objects, n_clicks)).reshape(2, -1)
        refined = np.full(n_objects, n_clicks)
        targets = Targets(
            np.concatenate([objects, np.arange(n_objects)]), np.concatenate([columns, refined])
        )
        n_prompt_sets = n_objects * len(PROMPTS)
        answers = {name: answer[:n_prompt_sets] for name, answer in self.answers.items()}
        collected = Collected((n_objects, len(PROMPTS)), wait=lambda: None)
        collected.add((targets, answers))
        inputs = np.full(n_objects, self.split.input_sha256(piece))
        statistics = {name: row[:n_objects] for name, row in self.statistics.items()}
        return collected.rows() | statistics | {"input_sha256": inputs}


def _drawn_answers(cell: Cell, split: ShardedTable) -> tuple[dict[str, Tensor], Rows]:
    """Random arrays and drawn mask codes, for as many objects as an image has at most.

    The first arrays have a row per prompt set, the second a row per object.
    """
    rng, n_objects = np.random.default_rng(0), int(np.bincount(split.table.image_index).max())
    sizes = cell.dim_sizes | {"object": n_objects}
    arrays = {
        name: rng.random([sizes[dim] for dim in spec.dims]).astype(spec.dtype)
        for name, spec in shard_arrays("features", cell.signature).items()
        if name != "input_sha256"
    }
    arrays[MASK_CODE] = _drawn_codes(split, n_objects, cell.sizes["y"], rng)
    statistics = {name: arrays.pop(name) for name in ("encoder_mean", "encoder_std")}
    return {name: torch.from_numpy(a).flatten(0, 1) for name, a in arrays.items()}, statistics


def _drawn_codes(
    split: ShardedTable, n_objects: int, side_px: int, rng: np.random.Generator
) -> UInt8[np.ndarray, "object prompt proposal y x"]:
    """Codes of masks of drawn objects, whose logits rise with the distance from the outline."""
    white = rng.standard_normal((side_px, side_px), np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), side_px / 64)
    noise = ROUGHNESS * smooth / smooth.std()
    distance = np.stack([_signed_distance(split.table.truth(i), side_px) for i in range(n_objects)])
    shape = (n_objects, len(PROMPTS), N_PROPOSALS)
    codes = np.empty((*shape, side_px, side_px), np.uint8)
    for place in np.ndindex(shape):
        logits = STEEPNESS * distance[place[0]] + np.roll(noise, rng.integers(side_px))
        codes[place] = encode_logits(torch.from_numpy(logits)).numpy()
    return codes


def _signed_distance(
    truth: Bool[np.ndarray, "height width"], side_px: int
) -> Float32[np.ndarray, "y x"]:
    """Distance in pixels from the outline of a mask, negative outside.

    The mask is first resized to a square of ``side_px``.
    """
    small = cv2.resize(truth.astype(np.uint8), (side_px, side_px), interpolation=cv2.INTER_NEAREST)
    inside, outside = (
        cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5) for mask in (small, 1 - small)
    )
    return inside - outside
