"""A small made-up split."""

from typing import Any

import numpy as np

from storage.objects import NAMES, ObjectTable


def arrays_of(n_images: int = 3, per_image: int = 4) -> dict[str, Any]:
    """Arrays of a split by name."""
    n = n_images * per_image
    rng = np.random.default_rng(0)
    text = np.dtypes.StringDType()
    return {
        "file": np.array([f"{i:03}.png" for i in range(n_images)], text),
        "height_px": np.full(n_images, 8, np.int32),
        "width_px": np.full(n_images, 9, np.int32),
        "image_sha256": np.array([f"sha {i}" for i in range(n_images)], text),
        "image_index": np.repeat(np.arange(n_images, dtype=np.int32), per_image),
        "object_id": 100 + np.arange(n),
        "area_px": rng.integers(1, 72, n),
        "box_px": rng.random((n, 4), np.float32),
        "mask_rle": np.array([f"0{i}é" for i in range(n)], text),
        "point_px": rng.integers(0, 8, (n, 8, 2), np.int32),
    }


def table_of(**changes: np.ndarray) -> ObjectTable:
    """A split with some arrays changed."""
    arrays = {**arrays_of(), **changes}
    return ObjectTable(**{name: arrays[name] for name in NAMES})
