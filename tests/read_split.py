"""A split read whole, as stage ``prepare`` does."""

from pathlib import Path
from typing import Any

from storage.datasets import DATA_SETS, collect
from storage.records import Records, Source


def read_split(
    reader: str,
    images: Path,
    annotations: Path,
    *,
    min_area_px: int = 10,
    max_objects: int | None = None,
    **options: Any,  # noqa: ANN401 - a field each
) -> Records:
    """Records of a split; ``options`` are fields of ``Source``."""
    source = Source(images, annotations, **options)
    parts = DATA_SETS[reader].list_parts(source)
    return collect(parts, source, min_area_px=min_area_px, max_objects=max_objects)


def read_place(place: dict[str, Any], **changes: Any) -> Records:  # noqa: ANN401 - a field each
    """Records of a split in the form of params.yaml; ``changes`` are further options."""
    given = {**place, **changes}
    if "list" in given:
        given["list"] = Path(given["list"])
    reader, images, annotations = (given.pop(key) for key in ("reader", "images", "annotations"))
    return read_split(reader, Path(images), Path(annotations), **given)
