"""The index of a shard: where each chunk is in its file."""

import os
from io import FileIO
from typing import Final

import google_crc32c
import numpy as np
from jaxtyping import UInt64

ENTRY_BYTES: Final = 16
"""Offset and length of a chunk, both 64 bits."""

CHECKSUM_BYTES: Final = 4
"""CRC32C of the entries, which follows them."""

ABSENT: Final = 2**64 - 1
"""Offset of a chunk that a shard does not hold."""


def index_bytes(n_chunks: int) -> int:
    """Size of an index, which ends its file."""
    return n_chunks * ENTRY_BYTES + CHECKSUM_BYTES


def read_index(file: FileIO, n_chunks: int) -> UInt64[np.ndarray, "chunk 2"]:
    """Offset and length of each chunk, in bytes; only the end of the file is read.

    Raises
    ------
    ValueError
        As ``parse_index``.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - index_bytes(n_chunks)))
    return parse_index(file.read(index_bytes(n_chunks)), n_chunks, str(file.name))


def parse_index(data: bytes, n_chunks: int, where: str) -> UInt64[np.ndarray, "chunk 2"]:
    """Offset and length of each chunk, in bytes, from the end of the file ``where``.

    Raises
    ------
    ValueError
        If the file is cut short, or the index fails its checksum.

    Notes
    -----
    The format of Zarr's sharding codec, with its index at the end, followed by a CRC32C.
    """
    entries, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    is_whole = len(entries) == n_chunks * ENTRY_BYTES
    if not is_whole or google_crc32c.value(entries) != int.from_bytes(checksum, "little"):
        raise ValueError(f"the index of {where} is cut short or fails its checksum")
    return np.frombuffer(entries, "<u8").reshape(n_chunks, 2)
