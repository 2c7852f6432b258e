"""Training data of the mini models: images and first prompts, one batch per step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from pipeline.seeds import derive_seed
from tools.family.images import MIN_AREA_PX, BatchPlan, DrawImages, Image, draw_some
from tools.family.prompts import (
    CorrectionPlan,
    Corrections,
    draw_corrections,
    draw_first,
    draw_n_clicks,
    first_labels,
)

FRAME_STEP_PX: Final = 16
"""Places in a frame are multiples of this, the side of a cell of the encoder's last level."""


@dataclass(frozen=True)
class Frame:
    """A larger image that contains the tiles, and their place (x, y) in it."""

    size_px: int
    place_px: tuple[int, int]


@dataclass(frozen=True)
class Batch:
    """Images, and the objects clicked in them: rows of one image are contiguous."""

    rgb: UInt8[np.ndarray, "image size size 3"]
    point_px: Float32[np.ndarray, "row click 2"]
    label: Int32[np.ndarray, "row click"]
    mask: UInt8[np.ndarray, "row size size"]
    """0 or 1; 0 everywhere if the click is on no object."""
    frame: Frame | None = None
    corrections: Corrections | None = None


def draw_batch(
    plan: BatchPlan,
    step: int,
    *,
    size_px: int,
    draw_images: DrawImages,
    n_objects: int,
    corrected: CorrectionPlan | None = None,
    is_framed: bool = False,
) -> Batch:
    """Draw the batch of a step, which follows from the arguments alone.

    Images smaller than the scenes are tiles of them, not smaller scenes: what a model learns from
    them holds at the scenes' own scale. All prompt sets of a batch have the same number of clicks,
    or are boxes, so that one decoder call takes them. Where masks are corrected, the last click of
    an image is on the ground, if there is some. No step shares a scene with another.

    Parameters
    ----------
    n_objects
        Prompt sets in each image; where it has fewer objects, some are prompted more than once.
    corrected
        Plan of the corrections; None for a batch without.
    is_framed
        Whether tiles have places in an image of the scenes' size.
    """
    generator = np.random.default_rng(derive_seed(plan.seed, "batch", step))
    n_clicks = draw_n_clicks(generator, is_corrected=corrected is not None)
    images = draw_images(generator, plan, step, size_px)
    n_ground = int(corrected is not None and n_clicks > 0)
    rows = [
        row
        for image in images
        for row in _draw_rows(generator, image, n_clicks, n=n_objects, n_ground=n_ground)
    ]
    return Batch(
        rgb=np.stack([image.rgb for image in images]),
        point_px=np.stack([points for points, _ in rows]),
        label=np.tile(np.array(first_labels(n_clicks), np.int32), (len(rows), 1)),
        mask=np.stack([mask for _, mask in rows]).astype(np.uint8),
        frame=_draw_frame(generator, plan, size_px) if is_framed else None,
        corrections=draw_corrections(generator, corrected) if corrected else None,
    )


def _draw_frame(generator: np.random.Generator, plan: BatchPlan, size_px: int) -> Frame:
    most = (plan.scene_size_px - size_px) // FRAME_STEP_PX
    x, y = generator.integers(0, most, 2, endpoint=True)
    return Frame(plan.scene_size_px, (FRAME_STEP_PX * int(x), FRAME_STEP_PX * int(y)))


def _draw_rows(
    generator: np.random.Generator,
    image: Image,
    n_clicks: int,
    *,
    n: int,
    n_ground: int,
) -> Iterator[tuple[Float32[np.ndarray, "click 2"], Bool[np.ndarray, "size size"]]]:
    """First prompts of an image with their masks; the last of them on the ground, if it shows."""
    if image.ground.sum() < MIN_AREA_PX:
        n_ground = 0
    for number in draw_some(generator, len(image.masks), n - n_ground):
        yield draw_first(generator, image.masks[number], n_clicks), image.masks[number]
    for _ in range(n_ground):
        yield draw_first(generator, image.ground, n_clicks), np.zeros_like(image.ground)
