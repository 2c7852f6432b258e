"""Cells that tasks read: named by the driver, opened by each worker."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from storage.files.addresses import is_address
from storage.split.cells import SplitCells, open_cells


@dataclass(frozen=True)
class CellsToOpen:
    """Cells of a split, described so that any worker can open them."""

    split: str
    expected: str
    """Entries of the signature of each cell, as JSON."""
    with_masks: bool
    cache: str
    """Folder or address."""
    run: str
    """Differs between runs of a stage, as the cells at a place may change."""


def cells_to_open(
    split: str,
    expected: Mapping[tuple[str, str], Mapping[str, object]],
    cache: str | Path,
    *,
    with_masks: bool = False,
) -> CellsToOpen:
    """Cells as they are in a cache now, with the settings expected of each."""
    listed = [[*names, dict(settings)] for names, settings in expected.items()]
    return CellsToOpen(split, json.dumps(listed), with_masks, str(cache), uuid4().hex)


@lru_cache(maxsize=1)  # once per process, not once per task
def opened(cells: CellsToOpen) -> SplitCells:
    """The cells, checked against what is expected of them."""
    expected = {(model, view): settings for model, view, settings in json.loads(cells.expected)}
    cache = cells.cache if is_address(cells.cache) else Path(cells.cache)
    return open_cells(cells.split, expected, with_masks=cells.with_masks, cache=cache)
