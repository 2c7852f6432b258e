"""Masks of many cells from elsewhere than folders: some objects at a time, all cells at once.

A request to a bucket waits tens of milliseconds for its answer. One for each object and cell would
leave the processor idle for most of the time; those of a window wait together.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from storage.split.mask_chunks import MaskChunks, MaskCode, ShardIndex, read_indices, read_spans

WINDOW_BYTES: Final = 2**26
"""Compressed masks of all cells that a window holds, unless one object has more."""

Name = tuple[str, str]
"""Model and view."""


class MaskWindows:
    """Masks of consecutive objects of one shard, read forwards; for one thread."""

    def __init__(self, cells: Mapping[Name, MaskChunks], run: range) -> None:
        self._cells = dict(cells)
        self._run = run
        self._indices = read_indices(list(cells.values()), run.start)
        self._rows = range(run.start, run.start)
        self._chunks: dict[Name, list[memoryview]] = {}

    def read_into(self, name: Name, block: range, mask_code: MaskCode) -> None:
        """Fill ``mask_code`` with consecutive objects of one cell.

        Raises
        ------
        StoreError
            If a shard is damaged, or no longer there to be read.
        """
        if block.start not in self._rows or block[-1] not in self._rows:
            self._fetch(block)
        first = block.start - self._rows.start
        self._cells[name].decode(self._chunks[name][first : first + len(block)], mask_code)

    def _fetch(self, block: range) -> None:
        cells = list(self._cells.values())
        # Dropped first, so that one window is in memory, not two.
        self._chunks = {}
        rows = range(block.start, max(block.stop, self._last(block.start)))
        spans = read_spans(cells, self._indices, rows)
        self._rows, self._chunks = rows, dict(zip(self._cells, spans, strict=True))

    def _last(self, start: int) -> int:
        """Where a window that begins at a row ends."""
        cell = next(iter(self._cells.values()))
        places = cell.place(range(start, self._run.stop))
        n_bytes = np.cumsum(_lengths(self._indices, places))
        return start + int(np.searchsorted(n_bytes, WINDOW_BYTES, side="right"))


def _lengths(indices: Sequence[ShardIndex], places: range) -> np.ndarray:
    """Compressed bytes of each object in all cells."""
    total = np.zeros(len(places), np.float64)
    for index in indices:
        total += index[places.start : places.stop, 1]
    return total
