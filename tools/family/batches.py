"""What the mini models learn from: drawn scenes and clicks, one batch per step."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from pipeline.prompts import sample_prompts
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from pipeline.seeds import derive_seed
from pipeline.vocabulary import SINGLE_CLICKS

SINGLE_CLICK_SHARE: Final = 0.5
"""Share of the steps with one click per object; the others have two to eight."""

CENTER_SHARE: Final = 0.5
"""Share of single clicks that are ``center``."""

MIN_AREA_PX: Final = 64
"""Area of an object that a tile must show for the object to be clicked."""

SCENES_PER_TILE: Final = 0.5
"""Scenes drawn per tile: less than one, as a scene has several tiles."""

Style = Literal["cartoon", "scene"]
"""Each object in one plain colour, or as drawn."""


@dataclass(frozen=True)
class BatchPlan:
    """What determines a batch, together with its step."""

    seed: int
    scene_size_px: int
    n_images: int
    """Scenes, or tiles of scenes."""
    n_objects: int
    """Objects clicked in each image; where it has fewer, some are clicked more than once."""


@dataclass(frozen=True)
class Batch:
    """Images, and the objects clicked in them: rows of one image are contiguous."""

    rgb: UInt8[np.ndarray, "image size size 3"]
    point_px: Float32[np.ndarray, "row click 2"]
    mask: UInt8[np.ndarray, "row size size"]
    """0 or 1."""


Image = tuple[UInt8[np.ndarray, "size size 3"], Bool[np.ndarray, "object size size"]]


def draw_batch(plan: BatchPlan, step: int, *, size_px: int, style: Style) -> Batch:
    """Draw the batch of a step, which follows from the arguments alone.

    Images smaller than the scenes are tiles of them, not smaller scenes: what a model learns from
    them holds at the scenes' own scale. All prompt sets of a batch have the same number of clicks,
    so that one decoder call takes them. No step shares a scene with another.
    """
    generator = np.random.default_rng(derive_seed(plan.seed, "batch", step))
    n_clicks = _draw_n_clicks(generator)
    images = _draw_images(generator, plan, step, size_px)
    if style == "cartoon":
        images = [(_draw_cartoon(generator, masks), masks) for _, masks in images]
    points, masks = [], []
    for _, own in images:
        for number in _draw_some(generator, len(own), plan.n_objects):
            points.append(_draw_clicks(generator, own[number], n_clicks))
            masks.append(own[number])
    return Batch(
        rgb=np.stack([rgb for rgb, _ in images]),
        point_px=np.stack(points),
        mask=np.stack(masks).astype(np.uint8),
    )


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
            seen = masks.sum((1, 2)) >= MIN_AREA_PX
            if seen.any():
                yield scene.rgb[box], np.ascontiguousarray(masks[seen])


def _draw_cartoon(
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


def _draw_n_clicks(generator: np.random.Generator) -> int:
    if generator.uniform() < SINGLE_CLICK_SHARE:
        return 1
    return int(generator.integers(2, len(SINGLE_CLICKS), endpoint=True))


def _draw_clicks(
    generator: np.random.Generator, mask: np.ndarray, n_clicks: int
) -> Float32[np.ndarray, "click 2"]:
    clicks = sample_prompts(mask, int(generator.integers(2**63))).astype(np.float32)
    if n_clicks == 1 and generator.uniform() >= CENTER_SHARE:
        return clicks[1:2]
    return clicks[:n_clicks]
