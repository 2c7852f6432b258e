"""Rows of an array that are read a few at a time, though a chunk of it holds thousands."""

import math
from threading import Lock
from typing import Final

import numpy as np

from storage.store.inspection import AnyArray

KEPT_BYTES: Final = 2**26
"""Most bytes of an array that are kept, unless one row has more."""


class RowBlocks:
    """Rows read forwards, by any number of threads.

    To decode a chunk for a few of its rows takes as long as for all: those beside them are kept for
    the next call, with which the rows of a split would otherwise cost a chunk for each image.
    """

    def __init__(self, array: AnyArray, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._array = array
        row_bytes = array.dtype.itemsize * math.prod(array.shape[1:])
        self._n_rows = max(1, min(array.chunks[0], kept_bytes // row_bytes))
        self._block = range(0)
        self._rows = np.empty(0)
        self._lock = Lock()

    def __getitem__(self, some: slice) -> np.ndarray:
        """Consecutive rows, which are not to be changed."""
        block = self._block_of(some.start)
        if some.stop > block.stop:
            return np.asarray(self._array[some])
        with self._lock:
            if block != self._block:
                self._block, self._rows = range(0), np.empty(0)  # not two in memory
                self._rows = np.asarray(self._array[block.start : block.stop])
                self._block = block
            return self._rows[some.start - block.start : some.stop - block.start]

    def _block_of(self, row: int) -> range:
        """Rows of the part of a chunk that holds a row."""
        chunk = row - row % self._array.chunks[0]
        start = row - (row - chunk) % self._n_rows
        stop = min(start + self._n_rows, chunk + self._array.chunks[0], self._array.shape[0])
        return range(start, stop)
