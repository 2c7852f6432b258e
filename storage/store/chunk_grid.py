"""Cuts arrays into chunks, shards and files, and estimates their bytes."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

import numpy as np

from storage.store.schema import SCHEMA, ArraySpec

CHUNK_ROWS: Final = 1024
"""Fewest rows of a chunk: one-row chunks of tokens read 27 times slower."""

MAX_ROW_CHUNKS: Final = 30
"""Largest number of chunks along the rows, so that a store of features, with 31 arrays and prompt
sets, has fewer than 1,000 files. A large split has larger chunks."""

MASK_CODE: Final = "mask_code"

MASK_BYTES: Final = (2_500, 22_000)
"""Bytes on the disk of a coded mask with sides of ``MASK_SIDE_PX``: of a sharp and a soft mask.

In 256 codes, photographs took 23,840 B and crisp outlines 4,700 B and more; 76 codes take
0.50 to 0.63 of that (docs/cache.md)."""

MASK_SIDE_PX: Final = 256


@dataclass(frozen=True)
class ChunkGrid:
    """Shapes of a Zarr array, of its chunks and of its shards, which are files that join chunks.

    Without shards (None), each chunk is a file.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None


def shard_file(array: str, spec: ArraySpec, shard: int) -> str:
    """Name of the file of a shard of an array whose chunks have single rows, below its store.

    >>> shard_file("mask_code", SCHEMA["masks"]["mask_code"], 7)
    'mask_code/c.7.0.0.0.0'
    """
    return f"{array}/c.{shard}{'.0' * (len(spec.dims) - 1)}"


def mask_file(shard: int) -> str:
    """Name of the file of a shard of masks, relative to its store."""
    return shard_file(MASK_CODE, SCHEMA["masks"][MASK_CODE], shard)


def shard_rows(signature: Mapping[str, object]) -> int:
    """Rows per shard of a store with this signature; 1 for kinds without shards."""
    return cast("int", signature.get("shard_objects", signature.get("shard_images", 1)))


def chunk_grid(spec: ArraySpec, sizes: Mapping[str, int], full_rows: int) -> ChunkGrid:
    """Cut the array that ``spec`` describes into chunks and, for single-row chunks, into shards.

    ``sizes`` are those of the dimensions by name; ``full_rows`` is the number of rows of a full
    shard, which has fewer if the array does.
    """
    shape = tuple(sizes[dim] for dim in spec.dims)
    n_rows, row_shape = max(1, shape[0]), shape[1:]  # zarr 3.4 refuses chunks without rows
    if spec.chunking == "single_rows":
        rows = min(full_rows, n_rows)
        return ChunkGrid(shape, (1, *row_shape), (rows, *row_shape))
    if spec.chunking == "whole":
        return ChunkGrid(shape, (n_rows, *row_shape))
    rows = min(chunk_rows(n_rows), n_rows)
    if spec.chunking == "prompt_rows":
        row_shape = (1, *row_shape[1:])
    return ChunkGrid(shape, (rows, *row_shape))


def chunk_rows(n_rows: int) -> int:
    """Rows per chunk of an array with ``n_rows`` rows: a multiple of ``CHUNK_ROWS``.

    It is the smallest that gives at most ``MAX_ROW_CHUNKS`` chunks along the rows.
    """
    return CHUNK_ROWS * max(1, -(-n_rows // (CHUNK_ROWS * MAX_ROW_CHUNKS)))


def row_bytes(specs: Iterable[ArraySpec], sizes: Mapping[str, int]) -> int:
    """Uncompressed bytes of a row of some arrays, without text and coordinates.

    ``sizes`` are those of the other dimensions by name.
    """
    total = 0
    for spec in specs:
        if not spec.is_coordinate:
            total += np.dtype(spec.dtype).itemsize * math.prod(sizes[dim] for dim in spec.dims[1:])
    return total


def mask_bytes(side_px: int) -> tuple[int, int]:
    """Typical bytes on the disk of a coded mask with sides of ``side_px``: of a sharp and soft one.

    The bytes of a sharp mask grow with its outline, so with the side; the bytes of a soft mask grow
    with its area.
    """
    low, high = MASK_BYTES
    return low * side_px // MASK_SIDE_PX, high * side_px**2 // MASK_SIDE_PX**2
