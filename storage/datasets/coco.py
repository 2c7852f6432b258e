"""Data sets in the layout of COCO: one JSON file of images with masks, boxes or keypoints."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from pycocotools import mask as coco_mask

from storage.datasets.json_values import Json, check_numbers, count, load_json, parse_rle, value
from storage.datasets.object_records import Annotated, ImageRecord, Medium, Source, check_pixels
from storage.errors import DataError, listed, shown
from storage.rle import compress_runs

EVERYTHING: Final = "everything"

OVERLOOKED: Final = "overlooked"

GENERATED: Final = (EVERYTHING, OVERLOOKED)
"""Kinds without prompts: masks of everything in an image, or those that no annotation covers."""

COCO_PROMPTS: Final = ("box", "clicks", *GENERATED)
"""Kinds of prompts in a COCO file. ``box`` reads ``bbox`` (x, y, w, h); ``clicks`` reads labelled
``keypoints`` (x, y, v)."""

USABLE: Final = {"box": "box wider and higher than 0 px", "clicks": "labelled keypoint (v > 0)"}
"""Value that an annotation must have to give a prompt, by kind of prompt. Annotations without
it are left out."""

NO_CATEGORY: Final = 1
"""Category id of an annotation without ``category_id``."""

EVERYTHING_CATEGORIES: Final = {NO_CATEGORY: "object"}
"""Category names by id for ``GENERATED``."""

MIN_COORDINATES: Final = 6
"""Fewest coordinates of a polygon that encloses anything."""

ImagesById = Mapping[int | str, ImageRecord]
"""Images of a COCO file by id, in the order of the file."""


def list_coco(source: Source) -> tuple[Medium, ...]:
    """List the images of a COCO instances file that have annotations, in the file's order.

    Polygons and both forms of RLE are read; crowds are counted and left out. Raises a DataError if
    the file is not of this layout, an annotation is of an image that is not listed, two images or
    two annotations share an id, or two images share a file. Reading a medium raises it if a mask is
    malformed or of another size than its image.
    """
    path = source.annotations
    content = load_json(path, "a file of COCO instances")
    images = parse_images(path, value(content, "images", (list,), str(path)))
    by_image = group_annotations(path, value(content, "annotations", (list,), str(path)), images)
    return tuple(
        Medium(f"COCO image {image.file}", partial(_read, path, image, by_image[image_id]))
        for image_id, image in images.items()
        if image_id in by_image
    )


def parse_images(path: Path, items: list[Any]) -> ImagesById:
    """Parse ``items``, the list ``images`` of the COCO file ``path``.

    Raises a DataError if an entry is malformed, an id or a file name is repeated, or a file lies
    outside of the folder of images.
    """
    images: dict[int | str, ImageRecord] = {}
    for k, item in enumerate(items):
        label = f"{path}: images[{k}]"
        image_id = value(item, "id", (int, str), label)
        if image_id in images:
            raise DataError(f"{label} must have an id of its own, got {shown(image_id)} again")
        images[image_id] = ImageRecord(
            file=_file(item, label),
            height_px=count(item, "height", label),
            width_px=count(item, "width", label),
        )
    files = Counter(str(PurePosixPath(image.file)) for image in images.values())
    repeated = [file for file, n in files.items() if n > 1]
    if repeated:
        raise DataError(f"{path}: images must have files of their own, got {listed(repeated)}")
    return images


def group_annotations(
    path: Path, items: list[Any], images: ImagesById
) -> dict[int | str, list[Json]]:
    """Group ``items``, the annotations of the COCO file ``path``, by image id.

    Images without annotations have no entry. Raises a DataError if an id is missing, repeated or of
    another type, or an image is not in ``images``.
    """
    by_image: dict[int | str, list[Json]] = {}
    ids: set[int] = set()
    strays: list[str] = []
    for k, item in enumerate(items):
        label = f"{path}: annotations[{k}]"
        object_id = value(item, "id", (int,), label)
        image_id = value(item, "image_id", (int, str), label)
        if object_id in ids:
            raise DataError(f"{label} must have an id of its own, got {shown(object_id)} again")
        ids.add(object_id)
        if image_id not in images:
            strays.append(f"annotation {shown(object_id)} of image {shown(image_id)}")
        by_image.setdefault(image_id, []).append(item)
    if strays:
        raise DataError(f"{path}: annotations must be of listed images, got {listed(strays)}")
    return by_image


def _read(path: Path, image: ImageRecord, items: list[Json]) -> Iterator[Annotated]:
    check_pixels(f"{path}: image {image.file}", image.height_px, image.width_px)
    for item in items:
        if (crowd := item.get("iscrowd", 0)) not in (0, 1):
            raise DataError(
                f"iscrowd of {path}: annotation {shown(item['id'])} must be 0 or 1, "
                f"got {shown(crowd)}"
            )
    single = [item for item in items if not item.get("iscrowd")]
    masks = tuple((item["id"], _compress(path, item, image)) for item in single)
    yield Annotated(image, masks, n_crowd=len(items) - len(single))


def _masks(path: Path, items: list[Json], image: ImageRecord) -> tuple[str, ...]:
    return tuple(_compress(path, item, image) for item in items)


def _compress(path: Path, item: Json, image: ImageRecord) -> str:
    """Compressed RLE of an annotation's mask, from polygons, uncompressed or compressed RLE.

    Raises a DataError, which names the annotation, if the mask is malformed.
    """
    label = f"{path}: annotation {shown(item['id'])} of {image.file}"
    size_px = (image.height_px, image.width_px)
    segmentation = value(item, "segmentation", (list, dict), label)
    try:
        if isinstance(segmentation, dict):
            return parse_rle(segmentation, *size_px)
        for polygon in segmentation:
            check_numbers(polygon, (int, float), "polygon")
        return compress_polygons(segmentation, *size_px)
    except DataError as error:
        raise DataError(f"{label}: {error}") from error


def compress_polygons(
    polygons: Sequence[Sequence[float | int]], height_px: int, width_px: int
) -> str:
    """Compressed RLE of the union of polygons ``[x1, y1, x2, y2, ...]``, rasterised as COCO does.

    Polygons of fewer than three corners enclose no pixel and are left out; without other polygons,
    the mask is empty. Raises a DataError if a polygon has an odd number of coordinates, or lies
    more than the image's longer side outside of the image.
    """
    enclosing = [p for p in polygons if len(p) >= MIN_COORDINATES]
    for polygon in polygons:
        _check_polygon(polygon, height_px, width_px)
    if not enclosing:
        return compress_runs([height_px * width_px], height_px, width_px)
    rles = coco_mask.frPyObjects([[float(v) for v in p] for p in enclosing], height_px, width_px)
    return str(coco_mask.merge(rles)["counts"], "ascii")


def _check_polygon(polygon: Sequence[float | int], height_px: int, width_px: int) -> None:
    if len(polygon) % 2:
        raise DataError(f"polygon must have an even number of coordinates, got {len(polygon)}")
    # pycocotools walks along every edge: a corner at 1e12 would take all memory.
    side_px = max(height_px, width_px)
    corners = np.asarray(polygon, np.float64)
    is_inside = (corners >= -side_px) & (corners <= 2 * side_px)
    if not is_inside.all():
        outside = shown(polygon[int(np.argmin(is_inside))])
        raise DataError(f"polygon must lie within {side_px} px of its image, got {outside}")


def _file(item: Json, label: str) -> str:
    file = str(value(item, "file_name", (str,), label))
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise DataError(
            f"file_name of {label} must lie below the folder of images, got {shown(file)}"
        )
    return file


@dataclass(frozen=True)
class CocoPrompt:
    """The box or the clicks of one annotation as a prompt, in pixels of the image."""

    annotation_id: int
    category_id: int
    box: tuple[float, float, float, float] | None
    """Left, top, right, bottom; None if the prompt is not a box."""
    clicks: tuple[tuple[float, float], ...]
    """x, y of each click; empty if the prompt is a box."""


@dataclass(frozen=True)
class PromptedImage:
    """An image of a COCO file, and the prompt of each of its annotations, if prompts are read."""

    image_id: int | str
    image: ImageRecord
    prompts: tuple[CocoPrompt, ...]
    annotated: tuple[str, ...] | None = None
    """Compressed RLE of each annotated mask; None unless the prompt kind is ``overlooked``."""

    @property
    def entry(self) -> dict[str, Any]:
        """The image as an entry of a COCO file's list ``images``."""
        height, width = self.image.height_px, self.image.width_px
        return {
            "id": self.image_id,
            "file_name": self.image.file,
            "height": height,
            "width": width,
        }


def read_prompts(path: Path, kind: str) -> tuple[list[PromptedImage], int]:
    """Read the annotated images of a COCO file in its order, with a prompt for each annotation.

    ``kind`` is one of ``COCO_PROMPTS``; ``GENERATED`` give all images of the file, without
    prompts. The list is never empty: a DataError says that there is nothing to segment, that a
    prompt is missing, or that the file is not of this layout. With the list comes the number of
    annotations that give no prompt and are left out: COCO has persons without a labelled keypoint,
    and two boxes of height 0.
    """
    content = load_json(path, "a file of COCO annotations")
    images = parse_images(path, value(content, "images", (list,), str(path)))
    if not images:
        raise DataError(f"{path} must have one image or more, got none")
    if kind == EVERYTHING:
        return [PromptedImage(image_id, image, ()) for image_id, image in images.items()], 0
    by_image = group_annotations(path, value(content, "annotations", (list,), str(path)), images)
    if kind == OVERLOOKED:
        return [
            PromptedImage(image_id, image, (), _masks(path, by_image.get(image_id, []), image))
            for image_id, image in images.items()
        ], 0
    if not by_image:
        raise DataError(
            f"{path} must have one annotation or more, got none: the prompt {EVERYTHING} needs none"
        )
    prompted = []
    for image_id, image in images.items():
        prompts = [_prompt(path, item, image, kind) for item in by_image.get(image_id, ())]
        usable = tuple(prompt for prompt in prompts if prompt.box or prompt.clicks)
        if usable:
            prompted.append(PromptedImage(image_id, image, usable))
    if not prompted:
        raise DataError(f"{path} must have one {USABLE[kind]} or more, got none")
    n_annotations = sum(map(len, by_image.values()))
    return prompted, n_annotations - sum(len(image.prompts) for image in prompted)


def read_categories(path: Path) -> dict[int, str]:
    """Names of the categories of a COCO file, by id; empty if the file lists no category."""
    content = {"categories": [], **load_json(path, "a file of COCO annotations")}
    items = value(content, "categories", (list,), str(path))
    named = [(item, f"{path}: categories[{k}]") for k, item in enumerate(items)]
    return {
        value(item, "id", (int,), label): value(item, "name", (str,), label)
        for item, label in named
    }


def _prompt(path: Path, item: Json, image: ImageRecord, kind: str) -> CocoPrompt:
    label = f"{path}: annotation {item['id']} of {image.file}"
    box = _box(item, label) if kind == "box" else None
    clicks = _clicks(item, label) if kind == "clicks" else ()
    category = value({"category_id": NO_CATEGORY} | dict(item), "category_id", (int,), label)
    return CocoPrompt(int(item["id"]), category, box, clicks)


def _box(item: Json, label: str) -> tuple[float, float, float, float] | None:
    numbers = _numbers(item, "bbox", label)
    if len(numbers) != 4:  # noqa: PLR2004 - x, y, w, h
        raise DataError(f"bbox of {label} must be x, y, w, h, got {shown(item['bbox'])}")
    x, y, w, h = numbers
    return (x, y, x + w, y + h) if w and h else None


def _clicks(item: Json, label: str) -> tuple[tuple[float, float], ...]:
    numbers = _numbers(item, "keypoints", label)
    points = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False)
    if len(numbers) % 3:
        raise DataError(
            f"keypoints of {label} must be x, y, v for each, got {shown(item['keypoints'])}"
        )
    return tuple((x, y) for x, y, visibility in points if visibility > 0)


def _numbers(item: Json, key: str, label: str) -> list[float]:
    numbers = value(item, key, (list,), label)
    check_numbers(numbers, (int, float), f"{key} of {label}")
    return [float(number) for number in numbers]
