"""Converts masks to the forms of COCO: run lengths and polygons."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Int
from pycocotools import mask as coco_mask


def rle(mask: Bool[np.ndarray, "height width"]) -> dict[str, Any]:
    """Compressed run lengths of a mask, as a ``segmentation`` of COCO; ``counts`` is text."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": str(encoded["counts"], "ascii")}


def polygons(mask: Bool[np.ndarray, "height width"]) -> list[list[int]]:
    """Outlines ``[x1, y1, x2, y2, ...]`` of the components of a mask, along its pixels' edges.

    An empty mask has no outline. Holes are lost: polygons of COCO have none.

    >>> polygons(np.array([[False, True], [False, True]]))
    [[1, 0, 1, 2, 2, 2, 2, 0]]
    """
    if not mask.any():
        return []
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    inside = mask[y : y + height, x : x + width]
    # OpenCV traces the centres of pixels. Of a doubled pixel, the four centres are its corners.
    doubled = inside.repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    outlines, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [_corners(np.asarray(outline)[:, 0], (x, y)) for outline in outlines]


def _corners(outline: Int[np.ndarray, "point 2"], origin_px: tuple[int, int]) -> list[int]:
    corners = (outline + 1) // 2 + np.array(origin_px)
    is_turn = (corners != np.roll(corners, 1, axis=0)).any(axis=1)
    flat: list[int] = corners[is_turn].ravel().tolist()
    return flat
