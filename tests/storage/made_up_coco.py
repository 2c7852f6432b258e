"""Small COCO files, without a fault until a test changes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from storage.records import Records
from storage.rle import encode_rle
from tests.read_split import read_split

HEIGHT_PX, WIDTH_PX = 8, 10

Json = dict[str, Any]


def box_mask(x: int, y: int, w: int, h: int) -> np.ndarray:
    """A mask of one box."""
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), bool)
    mask[y : y + h, x : x + w] = True
    return mask


def image_record(image_id: int | str, **changes: object) -> Json:
    """An image of the file; ``changes`` replace or add keys."""
    record: Json = {"id": image_id, "file_name": f"{image_id}.png"}
    return record | {"height": HEIGHT_PX, "width": WIDTH_PX} | changes


def annotation(object_id: int, image_id: int | str, **changes: object) -> Json:
    """An annotation of 20 pixels; ``changes`` replace or add keys."""
    segmentation = {
        "size": [HEIGHT_PX, WIDTH_PX],
        "counts": encode_rle(box_mask(1, 1, 4, 5)),
    }
    record: Json = {"id": object_id, "image_id": image_id, "segmentation": segmentation}
    return record | {"iscrowd": 0} | changes


def instances() -> Json:
    """A file without a fault: three objects, and an image without one."""
    return {
        "images": [image_record(7), image_record(3), image_record(5)],
        "annotations": [annotation(30, 3), annotation(70, 7), annotation(31, 3)],
    }


def read(
    folder: Path, content: object, *, min_area_px: int = 10, max_objects: int | None = None
) -> Records:
    """Write a file beside its images and read it."""
    path = folder / "instances.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    for name in ("7", "3", "5"):
        (folder / f"{name}.png").touch()
    return read_split("coco", folder, path, min_area_px=min_area_px, max_objects=max_objects)


def segmented(segmentation: object) -> Json:
    """A file of one object with this mask."""
    return {
        "images": [image_record(7)],
        "annotations": [annotation(1, 7, segmentation=segmentation)],
    }
