"""What is known about each object before any model sees it: area, box and clicks."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from pipeline.prompts import sample_prompts
from pipeline.vocabulary import SINGLE_CLICKS

Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Area, box and clicks of objects, in the order of their masks."""

    area_px: Int64[np.ndarray, " object"]
    box_px: Float32[np.ndarray, "object 4"]
    """x y w h of the smallest box of whole pixels."""
    point_px: Int32[np.ndarray, "object 8 2"]


def measure_objects(masks: Iterable[tuple[Mask, int]]) -> GroundTruth:
    """Measure masks one at a time, each given with the seed of its clicks.

    Raises
    ------
    ValueError
        If a mask is empty.
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
