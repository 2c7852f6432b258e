"""Reads typed values from JSON annotations; errors name their place."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import DataError, shown
from storage.paths import remedy
from storage.rle import check_runs, compress_runs, parse_counts

Json = Mapping[str, Any]


def load_json(path: Path, what: str) -> Json:
    """Mapping in a JSON file of UTF-8, UTF-16 or UTF-32; ``what`` says what it should be.

    Raises
    ------
    DataError
        If there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path} must be {what}, got no such file{remedy(path)}") from error
    except IsADirectoryError as error:
        raise DataError(f"{path} must be {what}, got a folder") from error
    except ValueError as error:
        raise DataError(f"{path} must be JSON, got: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a mapping, got {type(content).__name__}")
    return content


def value(item: Any, key: str, kinds: tuple[type, ...], what: str) -> Any:  # noqa: ANN401 - JSON
    """Value of a key, if it has one of some types; a bool does not pass for an int.

    Raises
    ------
    DataError
        Naming the keys that are there, or the value.
    """
    if not isinstance(item, dict):
        raise DataError(f"{what} must be a mapping, got {shown(item)}")
    if key not in item:
        got = shown(list(item)) if item else "none"
        raise DataError(f"{what} must have a key {key!r}, got {got}")
    found = item[key]
    if not isinstance(found, kinds) or isinstance(found, bool):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise DataError(f"{key} of {what} must be {names}, got {shown(found)}")
    return found


def count(item: Any, key: str, what: str) -> int:  # noqa: ANN401 - JSON
    """Value of a key that counts something, which the file may give as a float.

    Raises
    ------
    DataError
        If it has a fraction or is below 1.
    """
    number = value(item, key, (int, float), what)
    if number < 1 or number % 1:  # the rest of NaN, and of infinity, is NaN
        raise DataError(f"{key} of {what} must be a whole number >= 1, got {shown(number)}")
    return int(number)


def check_numbers(values: Any, kinds: tuple[type, ...], what: str) -> None:  # noqa: ANN401 - JSON
    """Refuse what is not a list of numbers; a bool is no number.

    Raises
    ------
    DataError
        Naming the first item that is none.
    """
    if not isinstance(values, list):
        raise DataError(f"{what} must be a list of numbers, got {shown(values)}")
    # All types at once: a file has millions of numbers.
    if not set(map(type, values)).issubset(kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        wrong = next(item for item in values if type(item) not in kinds)
        raise DataError(f"{what} must hold {names} only, got {shown(wrong)}")


def parse_rle(segmentation: Any, height_px: int, width_px: int) -> str:  # noqa: ANN401 - JSON
    """Compressed RLE of a mask ``{size, counts}``, whose counts may be compressed or not.

    Raises
    ------
    DataError
        If it is malformed, or of another size than its image.
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
