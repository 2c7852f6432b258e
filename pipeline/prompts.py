"""Derives clicks, corrections, area and box of an object from its ground truth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from pipeline.vocabulary import SINGLE_CLICKS

EROSION_PX: Final = 5
"""Side of the square kernel that keeps clicks off the uncertain rim of a mask."""

Pixels = Int64[np.ndarray, " pixel"]
Mask = Bool[np.ndarray, "h w"]


def sample_prompts(mask: Bool[np.ndarray, "h w"], seed: int) -> Int32[np.ndarray, "8 2"]:
    """Draw the eight clicks of an object: ``center``, then ``p1`` to ``p7`` at random.

    >>> mask = np.zeros((20, 30), bool)
    >>> mask[4:13, 10:21] = True
    >>> sample_prompts(mask, seed=0)[0].tolist()  # x, y
    [15, 8]

    Parameters
    ----------
    mask
        Ground truth of the object.
    seed
        Fixes the seven random clicks.

    Returns
    -------
    points
        Pixels (x, y) of the image, each on the object.

    Raises
    ------
    ValueError
        If the mask is empty.

    Notes
    -----
    Random clicks are drawn uniformly from the pixels of the mask eroded by 5x5, or of the mask
    itself where erosion leaves no pixel; without replacement, unless there are fewer than 7 pixels.
    ``center`` is the pixel of these that is closest to their mean; of pixels at the same distance,
    the first in row-major order.
    """
    x, y = _inner_pixels(mask)
    n_random = len(SINGLE_CLICKS) - 1
    generator = np.random.default_rng(seed)
    random = generator.choice(x.size, n_random, replace=x.size < n_random)
    chosen = np.append(_central(x, y), random)
    return np.stack([x[chosen], y[chosen]], axis=-1).astype(np.int32)


def _inner_pixels(mask: Bool[np.ndarray, "h w"]) -> tuple[Pixels, Pixels]:
    """Coordinates x and y of the eroded mask's pixels, or of the mask's if erosion leaves none.

    Raises a ValueError if the mask is empty.
    """
    # OpenCV's border counts as foreground: an object that the frame cuts off has no rim there.
    inner = cv2.erode(mask.view(np.uint8), np.ones((EROSION_PX, EROSION_PX), np.uint8))
    flat = np.flatnonzero(inner)
    if not flat.size:
        flat = np.flatnonzero(mask)
    if not flat.size:
        raise ValueError(f"mask must have a foreground pixel, got none in {mask.size} pixels")
    y, x = np.divmod(flat, mask.shape[1])
    return x, y


def _central(x: Pixels, y: Pixels) -> int:
    """Index of the pixel closest to the mean of all pixels; of equally close pixels, the first."""
    # The squared distance times n, without the term that all pixels share: whole numbers, so
    # that rounding never decides between two pixels at the same distance.
    n = x.size
    return int(np.argmin(x * (n * x - 2 * x.sum()) + y * (n * y - 2 * y.sum())))


def central_error(predicted: Mask, true: Mask) -> tuple[int, int]:
    """Pixel (x, y) that lies deepest inside a region where the predicted mask is wrong.

    A region misses foreground, or takes background for foreground; the image's frame bounds
    regions, too. Of pixels of equal depth, missed foreground comes first, then row-major order.
    Equal masks give (0, 0).
    """
    depths = [depth_px(true & ~predicted), depth_px(predicted & ~true)]
    depth = max(depths, key=np.max)
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return int(x), int(y)


def depth_px(region: Mask) -> Float32[np.ndarray, "h w"]:
    """Distance of each pixel of a region to the nearest pixel outside of the region, in pixels.

    Pixels beyond the frame count as outside. The distance is 0 outside of the region.
    """
    padded = np.pad(region, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # OpenCV's square roots are approximate in some threads and exact in others, so that equally
    # deep pixels may differ. The squares are whole numbers.
    squared = np.square(depth, dtype=np.float64)
    return np.sqrt(np.rint(squared, out=squared)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Area in pixels, box and clicks of objects."""

    area_px: Int64[np.ndarray, " object"]
    box_px: Float32[np.ndarray, "object 4"]
    """x, y, w, h of the smallest box of whole pixels around the mask."""
    point_px: Int32[np.ndarray, "object 8 2"]
    """Clicks (x, y) of each object, as ``sample_prompts`` draws them."""


def measure_objects(masks: Iterable[tuple[Mask, int]]) -> GroundTruth:
    """Measure area and box of each mask, and draw its clicks with the seed that is given with it.

    Raises a ValueError if a mask is empty.
    """
    areas: list[int] = []
    boxes: list[tuple[int, int, int, int]] = []
    points: list[Int32[np.ndarray, "8 2"]] = []
    for mask, seed in masks:
        points.append(sample_prompts(mask, seed))
        areas.append(int(np.count_nonzero(mask)))
        boxes.append(_box(mask))
    return GroundTruth(
        area_px=np.array(areas, np.int64),
        box_px=np.array(boxes, np.float32).reshape(-1, 4),
        point_px=np.array(points, np.int32).reshape(-1, len(SINGLE_CLICKS), 2),
    )


def _box(mask: Mask) -> tuple[int, int, int, int]:
    x, y = (np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1))
    return int(x[0]), int(y[0]), int(x[-1] - x[0]) + 1, int(y[-1] - y[0]) + 1
