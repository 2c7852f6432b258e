"""Reads masks and scores of all cells of a split, a block of objects at a time."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Lock
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.entropy.mixture_plan import CellRows
from pipeline.mask_statistics import OF_FEATURES
from storage.errors import StoreError
from storage.files.addresses import map_stores
from storage.split.split_cells import OpenCell, SplitCells
from storage.store import mask_chunks
from storage.store.chunk_grid import chunk_rows

BLOCK_BYTES: Final = 2**21
"""Largest size of the decoded masks that are read at once, so that they fit a core's cache."""

WINDOW_BYTES: Final = 2**26
"""Mean size of a window, the compressed masks of all cells that are fetched at once; a window has
one object at least."""

ReadMasks = Callable[[range, mask_chunks.MaskCode], None]
Scores = Mapping[str, Float32[np.ndarray, "object prompt proposal"]]

_READING: Final = Lock()
"""Lock that a thread holds while it reads scores."""


def object_runs(cells: SplitCells) -> list[range]:
    """Cut the rows of a split into runs, one run of consecutive objects per shard of masks."""
    return mask_chunks.shard_runs(range(cells.table.n_objects), _any_masks(cells).shard_objects)


def block_objects(cells: SplitCells) -> int:
    """Number of objects whose masks are read at once from a cell, see ``BLOCK_BYTES``."""
    return max(1, BLOCK_BYTES // _object_bytes(cells))


def mask_size(cells: SplitCells) -> tuple[int, int]:
    """Height and width of a mask in the cells, in pixels."""
    height, width = _any_masks(cells).shape[-2:]
    return height, width


def run_reader(cells: SplitCells, run: range) -> Callable[[str, str], CellRows]:
    """Make a function of model and view that gives the rows of the objects ``run`` of a cell.

    ``run`` is of ``object_runs``. Scores are read at the call, masks when ``CellRows.mask_code`` is
    indexed, and always into the same memory: each thread needs its own reader, and indexes at most
    ``block_objects`` objects at once. A StoreError, here or then, reports damaged scores or masks.
    """
    readers, scores = _mask_readers(cells, run), _read_scores(cells, run)
    # Allocating memory for every chunk would take half as long as decompressing the chunk.
    memory = np.empty(block_objects(cells) * _object_bytes(cells), np.uint8)

    def read_cell(model: str, view: str) -> CellRows:
        cell = cells.by_name[model, view]
        masks = RunMasks(readers[model, view], run, cell.mask_chunks.shape[1:], memory)
        try:
            of_cell, prompts = scores[model, view], tuple(cell.signature["prompts"])
            return CellRows(masks, of_cell["sam_score"], of_cell["iou"], of_cell, prompts)
        except ValueError as error:
            raise StoreError(f"{cell}: {error}") from error

    return read_cell


@dataclass(frozen=True)
class RunMasks:
    """Lazy array of the mask codes of consecutive objects of one cell, read when it is indexed."""

    read_into: ReadMasks
    """Reads the masks of consecutive rows into an array."""
    run: range
    """Rows of the objects in the cell."""
    shape: tuple[int, ...]
    """Shape of one object's masks: prompt, proposal, y, x."""
    memory: UInt8[np.ndarray, " byte"]
    """Memory into which masks are read."""

    def __getitem__(self, objects: slice) -> mask_chunks.MaskCode:
        """Read the masks of consecutive objects; ``objects`` counts from the first of the run.

        The array is in ``memory``: the next reading into it overwrites the masks.
        """
        block = self.run[objects]
        size = (len(block), *self.shape)
        mask_code = self.memory[: math.prod(size)].reshape(size)
        self.read_into(block, mask_code)
        return mask_code


def _mask_readers(cells: SplitCells, run: range) -> dict[tuple[str, str], ReadMasks]:
    """For each cell, by model and view, a function that reads masks of the objects ``run``.

    If a store is at an address, they read windows, see ``MaskWindows``.
    """
    masks = {name: cell.mask_chunks for name, cell in cells.by_name.items()}
    if all(chunks.files.folder is not None for chunks in masks.values()):
        return {name: chunks.read_into for name, chunks in masks.items()}
    windows = MaskWindows(masks, run)
    return {name: partial(windows.read_into, name) for name in masks}


def _read_scores(cells: SplitCells, run: range) -> dict[tuple[str, str], Scores]:
    """Scores and statistics of the masks of the objects ``run``, by model and view."""
    step = chunk_rows(cells.table.n_objects)
    first, stop = run.start // step * step, -(-run.stop // step) * step
    in_chunks = slice(run.start - first, run.stop - first)
    with _READING:  # without it, threads that begin together would all read the same chunks
        by_cell = _chunk_scores(cells, range(first, stop))
    return {
        cell: {name: values[in_chunks] for name, values in scores.items()}
        for cell, scores in by_cell.items()
    }


@lru_cache(maxsize=2)  # a chunk has many runs; threads may work in two neighbouring chunks
def _chunk_scores(cells: SplitCells, rows: range) -> dict[tuple[str, str], Scores]:
    """The same of ``rows``, which are whole chunks, in each cell, by model and view."""

    def read(cell: OpenCell) -> Scores:
        names = ("sam_score", "iou", *OF_FEATURES.values())
        return {name: cell.scores(name, rows) for name in names}

    opened = list(cells.by_name.values())
    return dict(zip(cells.by_name, map_stores(read, opened, str(opened[0])), strict=True))


def _any_masks(cells: SplitCells) -> mask_chunks.MaskChunks:
    """Reader of the masks of the first cell; all cells have as many objects and the mask size."""
    return next(iter(cells.by_name.values())).mask_chunks


def _object_bytes(cells: SplitCells) -> int:
    """Decoded bytes of one object's masks in the cell with the most prompt sets."""
    return max(cell.mask_chunks.object_bytes for cell in cells.by_name.values())


class MaskWindows:
    """Fetches masks of consecutive objects of one shard from all cells in windows, for one thread.

    A window has the compressed masks of some objects of all cells, whose requests run together. A
    request to a bucket takes tens of milliseconds, so that one request per object and cell would
    leave the processor idle for most of the time. Objects must be read in ascending order. A shard
    that is read to its end is checked against the manifest.
    """

    def __init__(self, cells: Mapping[tuple[str, str], mask_chunks.MaskChunks], run: range) -> None:
        self._cells = dict(cells)
        self._run = run
        self._indices = mask_chunks.read_shard_indices(list(cells.values()), run.start)
        n_bytes = sum(cell.manifest[cell.shard_file(run.start)].n_bytes for cell in cells.values())
        self._n_objects = int(WINDOW_BYTES * len(run) / n_bytes)
        self._rows = range(run.start, run.start)
        self._chunks: dict[tuple[str, str], list[memoryview]] = {}
        self._sha256 = {name: hashlib.sha256() for name in cells}

    def read_into(
        self, name: tuple[str, str], block: range, mask_code: mask_chunks.MaskCode
    ) -> None:
        """Fill ``mask_code`` with the masks of rows ``block`` of a cell, named by model and view.

        Raises a StoreError if a shard at an address is damaged or missing.
        """
        if block.start not in self._rows or block[-1] not in self._rows:
            # Whole blocks: a block of which the window ended in the middle would be fetched again.
            n_blocks = max(1, self._n_objects // len(block))
            stop = block.start + n_blocks * len(block)
            self._fetch(range(block.start, min(stop, self._run.stop)))
        first = block.start - self._rows.start
        self._cells[name].decode(self._chunks[name][first : first + len(block)], mask_code)

    def _fetch(self, rows: range) -> None:
        # The old window is dropped first, so that memory holds one window, not two.
        self._chunks = {}
        spans = mask_chunks.read_spans(list(self._cells.values()), self._indices, rows)
        self._rows, self._chunks = rows, dict(zip(self._cells, spans, strict=True))
        is_end = rows.stop == self._run.stop
        for (name, cell), index in zip(self._cells.items(), self._indices, strict=True):
            # zarr writes the chunks of a shard in their order, without a gap, then the index.
            for data in (*self._chunks[name], *([index] if is_end else [])):
                self._sha256[name].update(data)
            if is_end:
                cell.check_shard(self._run.start, self._sha256[name].hexdigest())
