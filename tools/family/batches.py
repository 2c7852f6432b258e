"""Training data of the mini models: drawn scenes and first prompts, one batch per step."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.seeds import derive_seed
from tools.family.prompts import (
    CorrectionPlan,
    Corrections,
    draw_corrections,
    draw_first,
    draw_n_clicks,
    first_labels,
)

MIN_AREA_PX: Final = 64
"""Area of an object that a tile must show for the object to be clicked, and of the ground."""

SCENES_PER_TILE: Final = 0.5
"""Scenes drawn per tile: less than one, as a scene has several tiles."""

FRAME_STEP_PX: Final = 16
"""Places in a frame are multiples of this, the side of a cell of the encoder's last level."""

Style = Literal["cartoon", "scene"]
"""Each object in one plain colour, or as drawn."""


@dataclass(frozen=True)
class BatchPlan:
    """Settings that determine a batch, together with its step."""

    seed: int
    scene_size_px: int
    n_images: int
    """Scenes, or tiles of scenes."""


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


Image = tuple[UInt8[np.ndarray, "size size 3"], Bool[np.ndarray, "object size size"]]


def draw_batch(
    plan: BatchPlan,
    step: int,
    *,
    size_px: int,
    style: Style,
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
    images = _draw_images(generator, plan, step, size_px)
    if style == "cartoon":
        images = [(draw_cartoon(generator, masks), masks) for _, masks in images]
    n_ground = int(corrected is not None and n_clicks > 0)
    rows = [
        row
        for _, masks in images
        for row in _draw_rows(generator, masks, n_clicks, n=n_objects, n_ground=n_ground)
    ]
    return Batch(
        rgb=np.stack([rgb for rgb, _ in images]),
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
    masks: Bool[np.ndarray, "object size size"],
    n_clicks: int,
    *,
    n: int,
    n_ground: int,
) -> Iterator[tuple[Float32[np.ndarray, "click 2"], Bool[np.ndarray, "size size"]]]:
    """First prompts of an image with their masks; the last of them on the ground, if it shows."""
    ground = np.logical_not(np.logical_or.reduce(masks))
    if ground.sum() < MIN_AREA_PX:
        n_ground = 0
    for number in _draw_some(generator, len(masks), n - n_ground):
        yield draw_first(generator, masks[number], n_clicks), masks[number]
    for _ in range(n_ground):
        yield draw_first(generator, ground, n_clicks), np.zeros_like(ground)


def _draw_images(
    generator: np.random.Generator, plan: BatchPlan, step: int, size_px: int
) -> list[Image]:
    is_whole = size_px == plan.scene_size_px
    n_scenes = plan.n_images if is_whole else ceil(SCENES_PER_TILE * plan.n_images)
    first = step * plan.n_images
    seeds = scene_seeds(plan.seed, "family", first + n_scenes)[first:]
    scenes = [draw_scene(seed, plan.scene_size_px) for seed in seeds]
    if is_whole:
        return [(scene.rgb, scene.masks) for scene in scenes]
    tiles = [tile for scene in scenes for tile in _tiles(scene, size_px)]
    return [tiles[number] for number in _draw_some(generator, len(tiles), plan.n_images)]


def _tiles(scene: Scene, size_px: int) -> Iterator[Image]:
    """Tiles of a scene that show enough of an object."""
    for y in range(0, len(scene.rgb), size_px):
        for x in range(0, len(scene.rgb), size_px):
            box = slice(y, y + size_px), slice(x, x + size_px)
            masks = scene.masks[:, *box]
            is_visible = masks.sum((1, 2)) >= MIN_AREA_PX
            if is_visible.any():
                yield scene.rgb[box], np.ascontiguousarray(masks[is_visible])


def draw_cartoon(
    generator: np.random.Generator, masks: Bool[np.ndarray, "object size size"]
) -> UInt8[np.ndarray, "size size 3"]:
    """Objects in random colours on a random ground, the smaller ones on the larger."""
    rgb = np.empty((*masks.shape[1:], 3), np.uint8)
    rgb[:] = generator.integers(0, 256, 3)
    for number in np.argsort(-masks.sum((1, 2)), kind="stable"):
        rgb[masks[number]] = generator.integers(0, 256, 3)
    return rgb


def _draw_some(generator: np.random.Generator, n: int, n_drawn: int) -> list[int]:
    """Numbers below ``n`` in random order, repeated where there are too few."""
    return [int(number) for number in np.resize(generator.permutation(n), n_drawn)]
