"""Training images that are drawn: scenes, tiles of scenes, and cartoons."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8

from pipeline.scenes.scene import Scene, draw_scene, scene_seeds

MIN_AREA_PX: Final = 64
"""Area of an object that an image must show for the object to be clicked, and of the ground."""

SCENES_PER_TILE: Final = 0.5
"""Scenes drawn per tile: less than one, as a scene has several tiles."""


@dataclass(frozen=True)
class BatchPlan:
    """Settings that determine a batch, together with its step."""

    seed: int
    scene_size_px: int
    n_images: int
    """Images, or tiles of images."""


@dataclass(frozen=True)
class Image:
    """An image, its objects, and where it is known to have none."""

    rgb: UInt8[np.ndarray, "size size 3"]
    masks: Bool[np.ndarray, "object size size"]
    ground: Bool[np.ndarray, "size size"]


DrawImages = Callable[[np.random.Generator, BatchPlan, int, int], list[Image]]
"""Draws the images of a step from a generator, the plan, the step and the size of an image in px;
images smaller than a scene are tiles."""


def draw_scenes(
    generator: np.random.Generator, plan: BatchPlan, step: int, size_px: int
) -> list[Image]:
    """Scenes, or tiles of them; no step shares a scene with another."""
    is_whole = size_px == plan.scene_size_px
    n_scenes = plan.n_images if is_whole else ceil(SCENES_PER_TILE * plan.n_images)
    first = step * plan.n_images
    seeds = scene_seeds(plan.seed, "family", first + n_scenes)[first:]
    scenes = [draw_scene(seed, plan.scene_size_px) for seed in seeds]
    if is_whole:
        return [_image(scene.rgb, scene.masks) for scene in scenes]
    tiles = [tile for scene in scenes for tile in _tiles(scene, size_px)]
    return [tiles[number] for number in draw_some(generator, len(tiles), plan.n_images)]


def draw_cartoons(
    generator: np.random.Generator, plan: BatchPlan, step: int, size_px: int
) -> list[Image]:
    """Scenes, or tiles of them, with each object in one plain colour."""
    images = draw_scenes(generator, plan, step, size_px)
    return [replace(image, rgb=draw_cartoon(generator, image.masks)) for image in images]


def _image(
    rgb: UInt8[np.ndarray, "size size 3"], masks: Bool[np.ndarray, "object size size"]
) -> Image:
    return Image(rgb, masks, np.logical_not(np.logical_or.reduce(masks)))


def _tiles(scene: Scene, size_px: int) -> Iterator[Image]:
    """Tiles of a scene that show enough of an object."""
    for y in range(0, len(scene.rgb), size_px):
        for x in range(0, len(scene.rgb), size_px):
            box = slice(y, y + size_px), slice(x, x + size_px)
            masks = scene.masks[:, *box]
            is_visible = masks.sum((1, 2)) >= MIN_AREA_PX
            if is_visible.any():
                yield _image(scene.rgb[box], np.ascontiguousarray(masks[is_visible]))


def draw_cartoon(
    generator: np.random.Generator, masks: Bool[np.ndarray, "object size size"]
) -> UInt8[np.ndarray, "size size 3"]:
    """Objects in random colours on a random ground, the smaller ones on the larger."""
    rgb = np.empty((*masks.shape[1:], 3), np.uint8)
    rgb[:] = generator.integers(0, 256, 3)
    for number in np.argsort(-masks.sum((1, 2)), kind="stable"):
        rgb[masks[number]] = generator.integers(0, 256, 3)
    return rgb


def draw_some(generator: np.random.Generator, n: int, n_drawn: int) -> list[int]:
    """Numbers below ``n`` in random order, repeated where there are too few."""
    return [int(number) for number in np.resize(generator.permutation(n), n_drawn)]
