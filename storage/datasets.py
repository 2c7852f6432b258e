"""Data sets that can be read, by the name that ``params.yaml`` gives to their layout."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from storage.coco import read_coco
from storage.records import Records


class Reader(Protocol):
    """Reads the records of a split; the order of rows is the order in which they come."""

    def __call__(
        self, images: Path, annotations: Path, *, min_area_px: int, max_objects: int | None
    ) -> Records:
        """Records of the first ``max_objects`` objects that have at least ``min_area_px``."""


READERS: Final[Mapping[str, Reader]] = MappingProxyType({"coco": read_coco})
"""Readers by layout."""
