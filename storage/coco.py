"""Data sets in the layout of COCO instances: a folder of images and one JSON file."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

from storage.errors import DataError
from storage.records import ImageRecord, ObjectRecord, Records
from storage.rle import area_rle, compress_polygons, compress_runs, decode_rle

_SHOWN: Final = 5
"""Faulty names in one message."""

_Json = Mapping[str, Any]
_Images = Mapping[int | str, ImageRecord]
_Found = tuple[ImageRecord, int, str]
"""Image, id and compressed RLE of an object."""


def read_coco(
    images: Path, annotations: Path, *, min_area_px: int, max_objects: int | None
) -> Records:
    """Records of a COCO instances file, in the order of its images, then of its annotations.

    Parameters
    ----------
    images
        Folder that the file names start from.
    annotations
        JSON file with ``images`` and ``annotations``; polygons and both forms of RLE are read.
    min_area_px
        Objects whose masks have fewer pixels are left out, as are crowds.
    max_objects
        The first so many of what is left are kept, and nothing beyond them is looked at; None
        keeps all.

    Raises
    ------
    DataError
        If the file is not of this layout, an annotation's image is missing, a mask is malformed
        or of another size than its image, two share an id, or nothing is left.
    """
    content = _load(annotations)
    known = _parse_images(annotations, content["images"])
    by_image = _group(annotations, content["annotations"], known)
    skipped: Counter[str] = Counter()
    found = list(islice(_find(annotations, known, by_image, min_area_px, skipped), max_objects))
    if not found:
        raise DataError(
            f"{annotations} must have an object of {min_area_px} px or more, got none "
            f"({skipped['crowd']} crowds, {skipped['small']} smaller ones)"
        )
    used = list(dict.fromkeys(image for image, _, _ in found))
    _check_files(annotations, images, used)
    index = {image: place for place, image in enumerate(used)}
    return Records(
        images=tuple(used),
        objects=tuple(ObjectRecord(index[image], number, rle) for image, number, rle in found),
        n_crowd=skipped["crowd"],
        n_small=skipped["small"],
    )


def _load(path: Path) -> _Json:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} must be a file of COCO instances, got no such file") from error
    except ValueError as error:  # malformed JSON, or bytes that are no text
        raise DataError(f"{path} must be JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a mapping, got {type(content).__name__}")
    for key in ("images", "annotations"):
        _value(content, key, (list,), str(path))
    return content


def _parse_images(path: Path, items: list[Any]) -> _Images:
    known: dict[int | str, ImageRecord] = {}
    for place, item in enumerate(items):
        what = f"{path}: images[{place}]"
        image_id = _value(item, "id", (int, str), what)
        if image_id in known:
            raise DataError(f"{what} must have an id of its own, got {image_id!r} again")
        known[image_id] = ImageRecord(
            file=_relative(_value(item, "file_name", (str,), what), what),
            height_px=_side(item, "height", what),
            width_px=_side(item, "width", what),
        )
    repeated = [f for f, n in Counter(image.file for image in known.values()).items() if n > 1]
    if repeated:
        raise DataError(f"{path}: images must have files of their own, got {_listed(repeated)}")
    return known


def _group(path: Path, items: list[Any], known: _Images) -> dict[int | str, list[_Json]]:
    """Annotations by image, their ids checked."""
    by_image: dict[int | str, list[_Json]] = {}
    seen: set[int] = set()
    strays: list[str] = []
    for place, item in enumerate(items):
        what = f"{path}: annotations[{place}]"
        object_id = _value(item, "id", (int,), what)
        image_id = _value(item, "image_id", (int, str), what)
        if object_id in seen:
            raise DataError(f"{what} must have an id of its own, got {object_id} again")
        seen.add(object_id)
        if image_id not in known:
            strays.append(f"annotation {object_id} of image {image_id!r}")
        by_image.setdefault(image_id, []).append(item)
    if strays:
        raise DataError(f"{path}: annotations must be of listed images, got {_listed(strays)}")
    return by_image


def _find(
    path: Path,
    known: _Images,
    by_image: Mapping[int | str, list[_Json]],
    min_area_px: int,
    skipped: Counter[str],
) -> Iterator[_Found]:
    """Objects in their final order; ``skipped`` counts what is left out, by reason."""
    for image_id, image in known.items():
        for item in by_image.get(image_id, []):
            what = f"{path}: annotation {item['id']}"
            if item.get("iscrowd"):
                skipped["crowd"] += 1
                continue
            try:
                rle = _compress(_value(item, "segmentation", (list, dict), what), image)
                area_px = area_rle(rle)
            except (DataError, OverflowError) as error:  # the latter: an int beyond 64 bits
                raise DataError(f"{what} of {image.file}: {error}") from error
            if area_px < min_area_px:
                skipped["small"] += 1
            else:
                yield image, item["id"], rle


def _compress(segmentation: list[Any] | _Json, image: ImageRecord) -> str:
    """Compressed RLE of polygons or of either form of RLE."""
    size_px = (image.height_px, image.width_px)
    if isinstance(segmentation, list):
        for polygon in segmentation:
            _check_numbers(polygon, (int, float), "polygon")
        return compress_polygons(segmentation, *size_px)
    size = _value(segmentation, "size", (list,), "segmentation")
    if tuple(size) != size_px:
        raise DataError(
            f"size of the mask must be its image's, {list(size_px)} (height, width), got {size}"
        )
    counts = _value(segmentation, "counts", (str, list), "segmentation")
    if isinstance(counts, list):
        _check_numbers(counts, (int,), "counts of the mask")
        return compress_runs(counts, *size_px)
    decode_rle(counts, *size_px)  # for its checks
    return str(counts)


def _check_numbers(values: Any, kinds: tuple[type, ...], what: str) -> None:  # noqa: ANN401 - JSON
    if not isinstance(values, list):
        raise DataError(f"{what} must be a list of numbers, got {values!r}")
    for value in values:
        if not isinstance(value, kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise DataError(f"{what} must hold {names} only, got {value!r}")


def _check_files(path: Path, folder: Path, used: list[ImageRecord]) -> None:
    missing = [image.file for image in used if not (folder / image.file).is_file()]
    if missing:
        raise DataError(
            f"{path}: images with objects must be files in {folder}, "
            f"got {len(missing)} missing: {_listed(missing)}"
        )


def _relative(file: str, what: str) -> str:
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise DataError(f"file_name of {what} must lie below the folder of images, got {file!r}")
    return file


def _side(item: _Json, key: str, what: str) -> int:
    side_px = int(_value(item, key, (int,), what))
    if side_px < 1:
        raise DataError(f"{key} of {what} must be >= 1 px, got {side_px}")
    return side_px


def _value(item: Any, key: str, kinds: tuple[type, ...], what: str) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(item, dict):
        raise DataError(f"{what} must be a mapping, got {item!r}")
    if key not in item:
        raise DataError(f"{what} must have a key {key!r}, got {', '.join(item) or 'none'}")
    value = item[key]
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise DataError(f"{key} of {what} must be {names}, got {value!r}")
    return value


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
