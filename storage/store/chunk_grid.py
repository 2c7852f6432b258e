"""How arrays are cut into chunks, shards and files, and how many bytes they will take."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from storage.store.schema import SCHEMA, ArraySpec

CHUNK_ROWS: Final = 1024
"""Fewest rows of a chunk: one-row chunks of tokens read 27 times slower."""

MAX_ROW_CHUNKS: Final = 32
"""Most chunks along the rows: a store of features, with 29 arrays and prompt sets cut so, has fewer
than a thousand files; a large split gets larger chunks."""

MASK_CODE: Final = "mask_code"
"""The array of masks, the only one in shards."""

MASK_BYTES: Final = (4_700, 34_000)
"""Size on the disk of a coded mask of ``MASK_SIDE_PX``, from sharp to soft.

Measured: 23,840 B for photographs (docs/cache.md), 6,000 B and more for crisp outlines; by the mini
models, of 64 px, 1,180 to 2,070 B for drawn scenes.
"""

MASK_SIDE_PX: Final = 256


@dataclass(frozen=True)
class ChunkGrid:
    """Shapes that an array is cut into; every key is one file."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None


def mask_file(shard: int) -> str:
    """File of a shard of masks in its store: its array, and its chunk key."""
    return f"{MASK_CODE}/c.{shard}.0.0.0.0"


def chunk_grid(spec: ArraySpec, sizes: Mapping[str, int], shard_objects: int) -> ChunkGrid:
    """Cut an array of the given sizes."""
    shape = tuple(sizes[dim] for dim in spec.dims)
    rest = shape[1:]
    if spec.chunking == "objects":
        rows = min(shard_objects, shape[0])
        return ChunkGrid(shape, (1, *rest), (rows, *rest))
    if spec.chunking == "whole":
        return ChunkGrid(shape, shape)
    rows = min(chunk_rows(shape[0]), shape[0])
    return ChunkGrid(shape, (rows, *rest) if spec.chunking == "rows" else (rows, 1, *rest[1:]))


def chunk_rows(n_rows: int) -> int:
    """Rows of a published chunk: a multiple of ``CHUNK_ROWS`` that depends on ``n_rows`` alone."""
    return CHUNK_ROWS * max(1, -(-n_rows // (CHUNK_ROWS * MAX_ROW_CHUNKS)))


def object_bytes(kind: str, sizes: Mapping[str, int]) -> int:
    """Uncompressed bytes per object in one kind of store, coordinates aside."""
    total = 0
    for spec in SCHEMA[kind].values():
        if spec.dims[0] == "object" and not spec.is_coordinate:
            total += np.dtype(spec.dtype).itemsize * math.prod(sizes[d] for d in spec.dims[1:])
    return total


def mask_bytes(side_px: int) -> tuple[int, int]:
    """Fewest and most bytes of a coded mask on the disk.

    Notes
    -----
    A sharp mask takes the bytes of its outline, which grow with the side; a soft one those of its
    area.
    """
    low, high = MASK_BYTES
    return low * side_px // MASK_SIDE_PX, high * side_px**2 // MASK_SIDE_PX**2
