"""Reads typed values from JSON annotations; errors name the file and the entry at fault."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import DataError, shown
from storage.folders import is_special
from storage.paths import remedy
from storage.rle import check_runs, compress_runs, parse_counts

Json = Mapping[str, Any]


def load_json(path: Path, label: str) -> Json:
    """Read a JSON file that holds a mapping; ``label`` names the expected file in messages.

    The file may be in UTF-8, UTF-16 or UTF-32. Raises a DataError if it is missing, is not JSON, or
    holds other JSON.
    """
    if is_special(path):
        raise DataError(f"{path} must be {label}, got a pipe or a device")
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} must be {label}, got no such file{remedy(path)}") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} must be {label}, got a folder") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} must be JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a mapping, got {type(content).__name__}")
    return content


def value(item: Any, key: str, kinds: tuple[type, ...], label: str) -> Any:  # noqa: ANN401 - JSON
    """Value of ``item[key]``, checked to be of one of the types ``kinds``; a bool is not an int.

    Raises a DataError if ``item`` is not a mapping, the key is absent (the message lists the keys
    of ``item``), or its value has another type. ``label`` names the item.
    """
    if not isinstance(item, dict):
        raise DataError(f"{label} must be a mapping, got {shown(item)}")
    if key not in item:
        keys = shown(list(item)) if item else "none"
        raise DataError(f"{label} must have a key {key!r}, got {keys}")
    content = item[key]
    if not isinstance(content, kinds) or isinstance(content, bool):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise DataError(f"{key} of {label} must be {names}, got {shown(content)}")
    return content


def count(item: Any, key: str, label: str) -> int:  # noqa: ANN401 - JSON
    """Whole number >= 1 at ``item[key]``; the file may write it as a float, such as 3.0.

    Raises a DataError if it is absent, no number, has a fraction or is below 1.
    """
    number = value(item, key, (int, float), label)
    if number < 1 or number % 1:  # for NaN and infinity, % 1 is NaN
        raise DataError(f"{key} of {label} must be a whole number >= 1, got {shown(number)}")
    return int(number)


def check_numbers(values: Any, kinds: tuple[type, ...], label: str) -> None:  # noqa: ANN401 - JSON
    """Raise a DataError for a value that is not a list of numbers of the types ``kinds``.

    A bool is no number. The message shows the first item that is none.
    """
    if not isinstance(values, list):
        raise DataError(f"{label} must be a list of numbers, got {shown(values)}")
    # A set of types, not a loop over numbers: a file has millions of numbers.
    if not set(map(type, values)).issubset(kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        wrong = next(item for item in values if type(item) not in kinds)
        raise DataError(f"{label} must hold {names} only, got {shown(wrong)}")


def parse_rle(segmentation: Any, height_px: int, width_px: int) -> str:  # noqa: ANN401 - JSON
    """Compressed RLE of a COCO mask ``{size, counts}``; ``counts`` is compressed or a list of runs.

    Raises a DataError if the RLE is malformed, or of another size than its image.
    """
    size = value(segmentation, "size", (list,), "segmentation")
    if size != [height_px, width_px]:
        raise DataError(
            f"size of the mask must be its image's, {[height_px, width_px]} (height, width), "
            f"got {shown(size)}"
        )
    counts = value(segmentation, "counts", (str, list), "segmentation")
    if isinstance(counts, list):
        check_numbers(counts, (int,), "counts of the mask")
        return compress_runs(counts, height_px, width_px)
    check_runs(parse_counts(counts), height_px, width_px)
    return str(counts)
