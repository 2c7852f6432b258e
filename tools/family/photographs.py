"""Training images of photographs that people divided into segments, and of what is cut out of them.

A tile of a photograph is varied in scale, shape, colour and sharpness. Its objects are segments of
several persons, segments merged with a neighbour, and objects cut out of other photographs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Integer, UInt8

from storage.datasets.bsds500 import SHARES, label_maps
from storage.images.image_files import read_rgb
from tools.family.images import MIN_AREA_PX, BatchPlan, Image, draw_scenes

PHOTOGRAPH_SHARE: Final = 0.8
"""Share of the varied steps that show photographs; the others show drawn scenes."""

SCALE: Final = (0.55, 1.0)
"""Share of a photograph's side that an image of full size shows; of a tile, the part of it."""

STRETCH: Final = 0.15
"""Logarithm of the most that a side is longer or shorter than that."""

MAX_ANNOTATORS: Final = 3
"""Persons whose segments an image has."""

MAX_SEGMENTS: Final = 12
"""Segments drawn in an image, beside pasted objects."""

MIN_BORDER_PX: Final = 8
"""Pixels of a segment that touch another, from which the two are neighbours."""

MERGED_SHARE: Final = 0.2
"""Share of the segments of a varied image that are one object with a neighbour."""

PASTED_SHARE: Final = 0.5
"""Share of the varied images on which objects of other photographs are pasted."""

MAX_PASTED: Final = 3
"""Objects pasted on an image: as many or fewer."""

PASTED_SIDE: Final = (0.12, 0.55)
"""Square root of the share of the image that a pasted object covers."""

MAX_TURN: Final = 0.4
"""Most that a pasted object is turned, in radians."""

SOFTENED_SHARE: Final = 0.2
"""Share of the images that are blurred or compressed."""

MIRRORED_SHARE: Final = 0.5
"""Share of the images, and of pasted objects, that are mirrored."""

Rgb = UInt8[np.ndarray, "y x 3"]
Mask = Bool[np.ndarray, "y x"]
Labels = Int32[np.ndarray, "y x"]


@dataclass(frozen=True)
class Photograph:
    """A photograph, and the map of connected segments of each annotator."""

    rgb: Rgb
    maps: tuple[Labels, ...]


def load_photographs(images: Path, annotations: Path) -> tuple[Photograph, ...]:
    """Photographs of a folder of BSDS500, sorted by name."""
    return tuple(
        Photograph(
            read_rgb(path),
            tuple(
                connected(labels)
                for labels in label_maps(annotations / f"{path.stem}.mat", path.name)
            ),
        )
        for path in sorted(images.glob("*.jpg"))
    )


def draw_photographs(
    photographs: Sequence[Photograph],
    generator: np.random.Generator,
    plan: BatchPlan,
    step: int,
    size_px: int,
    *,
    is_varied: bool,
) -> list[Image]:
    """Photographs, or tiles of them; if varied, drawn scenes in some steps, and made-up objects."""
    if is_varied and generator.uniform() >= PHOTOGRAPH_SHARE:
        return draw_scenes(generator, plan, step, size_px)
    share = size_px / plan.scene_size_px
    return [
        draw_photograph(generator, photographs, size_px, share, is_varied=is_varied)
        for _ in range(plan.n_images)
    ]


def draw_photograph(
    generator: np.random.Generator,
    photographs: Sequence[Photograph],
    size_px: int,
    share: float,
    *,
    is_varied: bool,
) -> Image:
    """A square tile that shows about ``share`` of a photograph's sides, with two objects or more.

    If varied, some objects are pasted from other photographs, and some are two neighbours. No place
    is known to have no object.
    """
    merged_share = MERGED_SHARE if is_varied else 0.0
    while True:
        photograph = photographs[int(generator.integers(len(photographs)))]
        rgb, masks = _draw_tile(generator, photograph, size_px, share, merged_share)
        rgb = _recolour(generator, rgb)
        if is_varied and generator.uniform() < PASTED_SHARE:
            rgb, masks = _paste(generator, rgb, masks, photographs)
        masks = [mask for mask in masks if _is_object(mask)]
        if len(masks) > 1:
            no_ground = np.zeros((size_px, size_px), bool)
            return Image(_soften(generator, rgb), np.stack(masks), no_ground)


def _draw_tile(
    generator: np.random.Generator,
    photograph: Photograph,
    size_px: int,
    share: float,
    merged_share: float,
) -> tuple[Rgb, list[Mask]]:
    extents = np.array(photograph.rgb.shape[:2])
    stretch = np.exp(generator.uniform(-STRETCH, STRETCH, 2))
    h, w = (extents * np.minimum(generator.uniform(*SCALE) * share * stretch, 1)).astype(int)
    y, x = generator.integers(extents - (h, w), endpoint=True)
    box = slice(y, y + h), slice(x, x + w)
    step = -1 if generator.uniform() < MIRRORED_SHARE else 1

    def squared(pixels: np.ndarray, interpolation: int) -> np.ndarray:
        resized = cv2.resize(pixels[box], (size_px, size_px), interpolation=interpolation)
        return np.ascontiguousarray(resized[:, ::step])

    rgb = squared(photograph.rgb, cv2.INTER_AREA if h > size_px else cv2.INTER_LINEAR)
    annotators = generator.permutation(len(photograph.maps))[:MAX_ANNOTATORS]
    maps = [
        connected(squared(photograph.maps[number].astype(np.float32), cv2.INTER_NEAREST))
        for number in annotators
    ]
    segments = [(labels, part) for labels in maps for part in sized_parts(labels)]
    drawn = generator.permutation(len(segments))[:MAX_SEGMENTS]
    return rgb, [
        _segment(generator, labels, part, merged_share)
        for labels, part in (segments[number] for number in drawn)
    ]


def connected(labels: Integer[np.ndarray, "y x"] | Float32[np.ndarray, "y x"]) -> Labels:
    """Number the connected parts (4 neighbours) of equal labels, from 0."""
    # Pixels, and between them 1 where two neighbours are equal, as one picture of 0 and 1.
    grid = np.zeros((2 * labels.shape[0] - 1, 2 * labels.shape[1] - 1), np.uint8)
    grid[::2, ::2] = 1
    grid[::2, 1::2] = labels[:, 1:] == labels[:, :-1]
    grid[1::2, ::2] = labels[1:] == labels[:-1]
    return np.asarray(cv2.connectedComponents(grid, connectivity=4)[1][::2, ::2]) - 1


def sized_parts(labels: Labels) -> Int64[np.ndarray, " part"]:
    """Numbers of the connected parts of a map that are of an object's size."""
    low, high = (share * labels.size for share in SHARES)
    areas = np.bincount(labels.ravel())
    return np.flatnonzero((areas >= low) & (areas <= high))


def _segment(
    generator: np.random.Generator, labels: Labels, part: int, merged_share: float
) -> Mask:
    """A segment, or, for some, the segment as a whole with a neighbour."""
    mask = labels == part
    if generator.uniform() < merged_share:
        around = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8)) > mask
        touching = np.bincount(labels[around], minlength=1)
        neighbours = np.flatnonzero(touching >= MIN_BORDER_PX)
        if neighbours.size:
            return np.asarray(mask | (labels == generator.choice(neighbours)))
    return np.asarray(mask)


def _paste(
    generator: np.random.Generator,
    rgb: Rgb,
    masks: Sequence[Mask],
    photographs: Sequence[Photograph],
) -> tuple[Rgb, list[Mask]]:
    """Cut objects out of other photographs and lay them on an image; they hide what is below."""
    for _ in range(generator.integers(1, MAX_PASTED, endpoint=True)):
        photograph = photographs[int(generator.integers(len(photographs)))]
        labels = photograph.maps[int(generator.integers(len(photograph.maps)))]
        parts = sized_parts(labels)
        if not parts.size:
            continue
        cut, alpha = _cut_out(
            generator, photograph.rgb, labels == generator.choice(parts), len(rgb)
        )
        rgb = (rgb + alpha[..., None] * (cut.astype(np.float32) - rgb)).round().astype(np.uint8)
        pasted = alpha > 0.5  # noqa: PLR2004 - the middle of a soft edge
        masks = [*(mask & ~pasted for mask in masks), pasted]
    return rgb, list(masks)


def _cut_out(
    generator: np.random.Generator, rgb: Rgb, segment: Mask, size_px: int
) -> tuple[Rgb, Float32[np.ndarray, "y x"]]:
    """A segment's pixels somewhere on an image, turned a little, mirrored or not, and its cover."""
    x, y, width, height = cv2.boundingRect(segment.view(np.uint8))
    side_px = size_px * np.exp(generator.uniform(*np.log(PASTED_SIDE)))
    angle = generator.uniform(-MAX_TURN, MAX_TURN)
    mirror = -1 if generator.uniform() < MIRRORED_SHARE else 1
    turn = (side_px / np.sqrt(segment.sum())) * np.array(
        [[mirror * np.cos(angle), -np.sin(angle)], [mirror * np.sin(angle), np.cos(angle)]]
    )
    centre = generator.uniform(0.1, 0.9, 2) * size_px
    place = np.column_stack([turn, centre - turn @ (x + width / 2, y + height / 2)])
    cover = cv2.warpAffine(segment.astype(np.float32), place, (size_px, size_px))
    cut = cv2.warpAffine(rgb, place, (size_px, size_px), borderMode=cv2.BORDER_REFLECT)
    return _recolour(generator, cut), cv2.GaussianBlur(cover, (3, 3), 0)


def _is_object(mask: Mask) -> bool:
    low, high = SHARES
    return bool(max(MIN_AREA_PX, low * mask.size) <= mask.sum() <= high * mask.size)


def _recolour(generator: np.random.Generator, rgb: Rgb) -> Rgb:
    """Another brightness, contrast, saturation and tint."""
    pixels = rgb.astype(np.float32)
    grey = pixels.mean(2, keepdims=True)
    pixels = grey + (pixels - grey) * np.float32(generator.uniform(0.3, 1.4))
    level = pixels.mean()
    pixels = level + (pixels - level) * np.float32(generator.uniform(0.7, 1.3))
    tint = generator.uniform(-25, 25) + generator.uniform(-12, 12, 3)
    recoloured: Rgb = np.clip(pixels + tint.astype(np.float32), 0, 255).astype(np.uint8)
    return recoloured


def _soften(generator: np.random.Generator, rgb: Rgb) -> Rgb:
    """Some images blurred, some compressed."""
    if generator.uniform() >= SOFTENED_SHARE:
        return rgb
    if generator.uniform() < 0.5:  # noqa: PLR2004 - as many blurred as compressed
        return np.asarray(cv2.GaussianBlur(rgb, (0, 0), generator.uniform(0.5, 1.2)))
    # OpenCV takes red for blue, and compresses them a little otherwise: no matter here.
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(20, 80))]
    decoded = cv2.imdecode(cv2.imencode(".jpg", rgb, quality)[1], cv2.IMREAD_COLOR)
    assert decoded is not None  # just encoded
    return np.asarray(decoded)
