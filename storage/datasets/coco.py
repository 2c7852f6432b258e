"""Data sets in the layout of COCO instances: a folder of images and one JSON file."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from storage.datasets.json_values import Json, check_numbers, count, load_json, parse_rle, value
from storage.datasets.records import Annotated, ImageRecord, Part, Source, check_pixels
from storage.errors import DataError, listed, shown
from storage.images.videos import video_of
from storage.rle import compress_polygons

MAX_NAME: Final = 255
"""Characters of a file's or folder's name, as file systems have it."""

MAX_PATH: Final = 4096
"""Characters of a path, likewise."""

Images = Mapping[int | str, ImageRecord]
"""By id, in the order of the file."""


def list_coco(source: Source) -> tuple[Part, ...]:
    """Images of a COCO instances file in its order; annotations of an image in the file's order.

    Polygons and both forms of RLE are read; crowds are counted and left out.

    Raises
    ------
    DataError
        If the file is not of this layout, an annotation's image is missing, a mask is malformed
        or of another size than its image, or two share an id.
    """
    path = source.annotations
    content = load_json(path, "a file of COCO instances")
    items: list[list[Any]] = [
        value(content, key, (list,), str(path)) for key in ("images", "annotations")
    ]
    known = parse_images(path, items[0])
    by_image = group_annotations(path, items[1], known)
    return tuple(
        Part(f"COCO image {image.file}", partial(_read, path, image, by_image[image_id]))
        for image_id, image in known.items()
        if image_id in by_image
    )


def parse_images(path: Path, items: list[Any]) -> Images:
    """Images of a COCO file by id, their ids and names checked."""
    known: dict[int | str, ImageRecord] = {}
    for place, item in enumerate(items):
        what = f"{path}: images[{place}]"
        image_id = value(item, "id", (int, str), what)
        if image_id in known:
            raise DataError(f"{what} must have an id of its own, got {shown(image_id)} again")
        known[image_id] = ImageRecord(
            file=_file(item, what),
            height_px=count(item, "height", what),
            width_px=count(item, "width", what),
        )
    files = Counter(str(PurePosixPath(image.file)) for image in known.values())
    repeated = [file for file, n in files.items() if n > 1]
    if repeated:
        raise DataError(f"{path}: images must have files of their own, got {listed(repeated)}")
    return known


def group_annotations(path: Path, items: list[Any], known: Images) -> dict[int | str, list[Json]]:
    """Annotations by image, their ids checked."""
    by_image: dict[int | str, list[Json]] = {}
    seen: set[int] = set()
    strays: list[str] = []
    for place, item in enumerate(items):
        what = f"{path}: annotations[{place}]"
        object_id = value(item, "id", (int,), what)
        image_id = value(item, "image_id", (int, str), what)
        if object_id in seen:
            raise DataError(f"{what} must have an id of its own, got {shown(object_id)} again")
        seen.add(object_id)
        if image_id not in known:
            strays.append(f"annotation {shown(object_id)} of image {shown(image_id)}")
        by_image.setdefault(image_id, []).append(item)
    if strays:
        raise DataError(f"{path}: annotations must be of listed images, got {listed(strays)}")
    return by_image


def _read(path: Path, image: ImageRecord, items: list[Json]) -> Iterator[Annotated]:
    check_pixels(f"{path}: image {image.file}", image.height_px, image.width_px)
    single = [item for item in items if not _is_crowd(path, item)]
    masks = tuple((item["id"], _compress(path, item, image)) for item in single)
    yield Annotated(image, masks, n_crowd=len(items) - len(single))


def _is_crowd(path: Path, item: Json) -> bool:
    is_crowd = item.get("iscrowd", 0)
    # JSON's true and false, and 0.0 and 1.0, are equal to these.
    if not isinstance(is_crowd, (int, float)) or is_crowd not in (0, 1):
        raise DataError(
            f"iscrowd of {path}: annotation {shown(item['id'])} must be 0 or 1, "
            f"got {shown(is_crowd)}"
        )
    return bool(is_crowd)


def _compress(path: Path, item: Json, image: ImageRecord) -> str:
    """Compressed RLE of polygons or of either form of RLE."""
    what = f"{path}: annotation {shown(item['id'])} of {image.file}"
    size_px = (image.height_px, image.width_px)
    segmentation = value(item, "segmentation", (list, dict), what)
    try:
        if isinstance(segmentation, dict):
            return parse_rle(segmentation, *size_px)
        for polygon in segmentation:
            check_numbers(polygon, (int, float), "polygon")
        return compress_polygons(segmentation, *size_px)
    except DataError as error:
        raise DataError(f"{what}: {error}") from error


def _file(item: Json, what: str) -> str:
    file = str(value(item, "file_name", (str,), what))
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise DataError(
            f"file_name of {what} must lie below the folder of images, got {shown(file)}"
        )
    if max(map(len, path.parts)) > MAX_NAME or len(file) > MAX_PATH:
        raise DataError(
            f"file_name of {what} must have names of at most {MAX_NAME} characters, and "
            f"{MAX_PATH} in all, got {shown(file)}"
        )
    if video_of(file) is not None:
        raise DataError(
            f"file_name of {what} must not end like a video's frame, <name>.mp4#<number>, "
            f"got {shown(file)}: rename the file"
        )
    return file
