"""Cells that tasks read: named by the driver, opened by each worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from storage.split.split_cells import SplitCells, open_cells


@dataclass(frozen=True)
class CellsToOpen:
    """Cells of a split, described so that any worker can open them."""

    split: str
    expected: Mapping[tuple[str, str], Mapping[str, object]] = field(compare=False)
    """Entries of the signature of each cell."""
    cache: str | Path
    """Folder or address."""
    with_masks: bool = False
    run: str = field(default_factory=lambda: uuid4().hex)
    """Differs between runs of a stage, as the cells at a place may change."""


@lru_cache(maxsize=1)  # once per process, not once per task
def opened(cells: CellsToOpen) -> SplitCells:
    """The cells, checked against what is expected of them."""
    return open_cells(cells.split, cells.expected, with_masks=cells.with_masks, cache=cells.cache)
