"""Prompts in the layout of COCO: what a file of boxes or keypoints asks about its images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.datasets.coco import group_annotations, parse_images
from storage.datasets.json_values import Json, check_numbers, load_json, value
from storage.datasets.records import ImageRecord
from storage.errors import DataError, shown

EVERYTHING: Final = "everything"

KINDS: Final = ("box", "clicks", EVERYTHING)
"""What is read as the prompt: ``bbox`` (x, y, w, h), the labelled ``keypoints`` (x, y, v), or none
but the images, whose objects are all to be found."""

NO_CATEGORY: Final = 1
"""Category of an annotation that has none."""


@dataclass(frozen=True)
class CocoPrompt:
    """One annotation as a prompt, in pixels of the image."""

    annotation_id: int
    category_id: int
    box: tuple[float, float, float, float] | None
    """Left, top, right, bottom."""
    clicks: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class AskedImage:
    """An image, and all prompts about it."""

    image_id: int | str
    image: ImageRecord
    prompts: tuple[CocoPrompt, ...]


def read_prompts(path: Path, kind: str) -> list[AskedImage]:
    """Images of a COCO file that have annotations, with a prompt for each; or all its images.

    Parameters
    ----------
    kind
        One of ``KINDS``.

    Raises
    ------
    DataError
        If the file is not of this layout, or a prompt is missing or not in its image.
    """
    content = load_json(path, "a file of COCO annotations")
    known = parse_images(path, value(content, "images", (list,), str(path)))
    if kind == EVERYTHING:
        return [AskedImage(image_id, image, ()) for image_id, image in known.items()]
    by_image = group_annotations(path, value(content, "annotations", (list,), str(path)), known)
    return [
        AskedImage(
            image_id,
            image,
            tuple(_prompt(path, item, image, kind) for item in by_image[image_id]),
        )
        for image_id, image in known.items()
        if image_id in by_image
    ]


def _prompt(path: Path, item: Json, image: ImageRecord, kind: str) -> CocoPrompt:
    what = f"{path}: annotation {item['id']} of {image.file}"
    box = _box(item, image, what) if kind == "box" else None
    clicks = _clicks(item, image, what) if kind == "clicks" else ()
    category = value({"category_id": NO_CATEGORY} | dict(item), "category_id", (int,), what)
    return CocoPrompt(int(item["id"]), category, box, clicks)


def _box(item: Json, image: ImageRecord, what: str) -> tuple[float, float, float, float]:
    numbers = _numbers(item, "bbox", what)
    if len(numbers) != 4:  # noqa: PLR2004 - x, y, w, h
        raise DataError(f"bbox of {what} must be x, y, w, h, got {shown(item['bbox'])}")
    x, y, w, h = numbers
    # As many files round it, a box may reach a pixel beyond the image.
    is_inside = x >= -1 and y >= -1 and x + w <= image.width_px + 1 and y + h <= image.height_px + 1
    if not (w > 0 and h > 0 and is_inside):
        raise DataError(f"bbox of {what} must lie in {_size(image)}, got {shown(item['bbox'])}")
    return x, y, x + w, y + h


def _clicks(item: Json, image: ImageRecord, what: str) -> tuple[tuple[float, float], ...]:
    numbers = _numbers(item, "keypoints", what)
    points = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False)
    clicks = tuple((x, y) for x, y, visibility in points if visibility > 0)
    if len(numbers) % 3 or not clicks:
        raise DataError(
            f"keypoints of {what} must be x, y, v for each, one with v > 0 at least, "
            f"got {shown(item['keypoints'])}"
        )
    for x, y in clicks:
        if not (0 <= x < image.width_px and 0 <= y < image.height_px):
            raise DataError(f"keypoints of {what} must lie in {_size(image)}, got {shown([x, y])}")
    return clicks


def _numbers(item: Json, key: str, what: str) -> list[float]:
    found = value(item, key, (list,), what)
    check_numbers(found, (int, float), f"{key} of {what}")
    return [float(number) for number in found]


def _size(image: ImageRecord) -> str:
    return f"the image of {image.width_px} x {image.height_px} px"
