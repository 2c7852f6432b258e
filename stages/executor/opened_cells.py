"""Cells that tasks read: the driver describes them, and each worker process opens them once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from storage.split.split_cells import SplitCells, open_cells


@dataclass(frozen=True)
class CellsToOpen:
    """Split, signatures and cache of cells, from which any worker process can open the cells."""

    split: str
    expected: Mapping[tuple[str, str], Mapping[str, object]] = field(compare=False)
    """Entries that the signature of each cell must have, by (model, view)."""
    cache: str | Path
    """Folder or address of the cache that has the cells."""
    with_masks: bool = False
    run: str = field(default_factory=lambda: uuid4().hex)
    """Random name of a run of the stage: with another name, ``opened`` opens the cells anew."""


@lru_cache(maxsize=1)  # once per process, not once per task
def opened(cells: CellsToOpen) -> SplitCells:
    """Open the described cells, and check their signatures and images.

    A process keeps the cells of the last call, so that it opens them once, not once per task.
    """
    return open_cells(cells.split, cells.expected, with_masks=cells.with_masks, cache=cells.cache)
