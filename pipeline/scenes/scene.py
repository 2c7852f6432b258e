"""Draws scenes of overlapping textured shapes, some hard to see; parts have annotations too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from pipeline.scenes.outlines import rasterise
from pipeline.scenes.placement import MAX_OBJECTS, MIN_OBJECTS, Item, Layout, arrange
from pipeline.scenes.textures import paint

MIN_AREA_PX: Final = 12
"""An object with a smaller visible area is not annotated."""

MIN_SIZE_PX: Final = 64
"""Smallest side of a scene: in smaller scenes, parts would be too small to annotate."""

MOST_IOU: Final = 0.85
"""An object with a higher IoU with an earlier object is not annotated: they count as one."""

Role = Literal["train", "val", "family", "further"]
"""Use of a scene: training of heads, evaluation, training of the mini models, or evaluation on
scenes on which no choice was made."""

_SEEDS_PER_ROLE: Final = 2**31

_BLOCKS: Final[Mapping[Role, int]] = {"train": 0, "val": 2, "further": 3, "family": 4}
"""First seed of each role, in blocks of ``_SEEDS_PER_ROLE``."""

_BLOCKS_PER_SEED: Final = 6


@dataclass(frozen=True)
class Scene:
    """An image and its annotated objects, with the category of each (one of ``CATEGORIES``).

    Masks cover visible pixels only. They overlap where an object is part of another one.
    """

    rgb: UInt8[np.ndarray, "size size 3"]
    masks: Bool[np.ndarray, "object size size"]
    categories: tuple[str, ...]


def scene_seeds(split_seed: int, role: Role, n: int) -> range:
    """Seeds of the ``n`` scenes of a split; ``n`` is at most 2^31, which is not checked.

    No other pair of a split's seed and a role has any of these seeds.
    """
    first = (split_seed * _BLOCKS_PER_SEED + _BLOCKS[role]) * _SEEDS_PER_ROLE
    return range(first, first + n)


def draw_scene(seed: int, size_px: int) -> Scene:
    """Draw and paint one square scene of four to nine objects.

    Parameters
    ----------
    seed
        Fixes the scene. The geometry is the same at every size, unless fewer than ``MIN_OBJECTS``
        objects are visible at a size: then another scene is drawn.
    size_px
        Side of the image, at least ``MIN_SIZE_PX``, which is not checked.
    """
    generator = np.random.default_rng(seed)
    while True:
        layout = arrange(generator)
        canvas, labels = _compose(layout, size_px)
        visible = _visible_items(layout, labels)
        if MIN_OBJECTS <= len(visible) <= MAX_OBJECTS:
            break
    return Scene(
        rgb=_expose(canvas, generator),
        masks=np.stack([_is_member(item, layout)[labels] for item in visible]),
        categories=tuple(item.category for item in visible),
    )


def _compose(
    layout: Layout, size_px: int
) -> tuple[Float32[np.ndarray, "size size 3"], UInt8[np.ndarray, "size size"]]:
    """Paint a layout: colours in 0..1, and the label of each pixel.

    The label is 1 + the index of the visible layer, or 0 for the ground.
    """
    centre = (np.arange(size_px, dtype=np.float32) + np.float32(0.5)) / np.float32(size_px)
    canvas = paint(layout.ground, centre[None, :], centre[:, None])
    labels = np.zeros((size_px, size_px), np.uint8)
    shapes: list[UInt8[np.ndarray, "size size"]] = []
    for number, layer in enumerate(layout.layers, start=1):
        shape = rasterise(layer.outline, size_px)
        if layer.clip_to is not None:
            shape &= shapes[layer.clip_to]
        shapes.append(shape)
        x, y, width, height = cv2.boundingRect(shape)
        box = slice(y, y + height), slice(x, x + width)
        inside = shape[box].astype(bool)
        labels[box][inside] = number
        if inside.any():
            surface = paint(layer.texture, centre[None, box[1]], centre[box[0], None])
            np.copyto(canvas[box], surface, where=inside[..., None])
    return canvas, labels


def _is_member(item: Item, layout: Layout) -> Bool[np.ndarray, " label"]:
    """Whether each label (0 for the ground, 1 + index of a layer) belongs to an object."""
    return np.isin(np.arange(len(layout.layers) + 1) - 1, item.layers)


def _visible_items(layout: Layout, labels: UInt8[np.ndarray, "size size"]) -> list[Item]:
    """Objects of at least ``MIN_AREA_PX``, with an IoU up to ``MOST_IOU`` with those before."""
    area_px = np.bincount(labels.ravel(), minlength=len(layout.layers) + 1)
    visible: list[Item] = []
    for item in layout.items:
        labels_of = _is_member(item, layout)
        earlier = [_is_member(item_before, layout) for item_before in visible]
        is_new = all(
            area_px[labels_of & labels_before].sum()
            <= MOST_IOU * area_px[labels_of | labels_before].sum()
            for labels_before in earlier
        )
        if area_px[labels_of].sum() >= MIN_AREA_PX and is_new:
            visible.append(item)
    return visible


def _expose(
    canvas: Float32[np.ndarray, "size size 3"], generator: np.random.Generator
) -> UInt8[np.ndarray, "size size 3"]:
    """Make a photograph of painted colours: with uneven light, slight blur and sensor noise."""
    size_px = len(canvas)
    angle, fall, blur, noise = generator.uniform(size=4)
    across = np.linspace(-0.5, 0.5, size_px, dtype=np.float32)
    direction = np.float32(0.5 * fall) * np.array(
        [np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)], np.float32
    )
    light = 1 + direction[0] * across[None, :] + direction[1] * across[:, None]
    lit = canvas * light[..., None]
    sharp = cv2.GaussianBlur(lit, (0, 0), sigmaX=max(0.005 * blur * size_px, 0.05))
    # Drawn last, because the number of random numbers depends on the size.
    grain = generator.standard_normal(canvas.shape, np.float32)
    exposed = sharp + np.float32(0.05 * noise) * grain
    return np.asarray(np.clip(np.rint(255 * exposed), 0, 255), np.uint8)


DEMO_SEED: Final = 1
DEMO_SIZE_PX: Final = 256
N_DEMO_SCENES: Final = 40
"""Seed, size and number of the demo's scenes: those of the validation split of
``params/results.yaml:shapes``, a file that is not installed with the package."""
