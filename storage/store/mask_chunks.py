"""Reads coded masks of a store into existing memory, by the index at the end of each shard.

A shard that is missing raises a ``StoreError`` at an address, an ``OSError`` in a folder.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO, Final

import google_crc32c
import numpy as np
from jaxtyping import UInt8, UInt64
from numcodecs.zstd import decompress  # type: ignore[import-untyped]

from pipeline.masks import N_CODES
from storage.files.manifest import Manifest, check_chunks
from storage.files.store_files import FileRange, Files, read_ranges
from storage.store.chunk_grid import MASK_CODE, mask_file
from storage.store.opening import naming_damage

MaskCode = UInt8[np.ndarray, "object prompt proposal y x"]

ShardIndex = UInt64[np.ndarray, "chunk 2"]
"""Index of a shard: offset and length of each chunk, in bytes."""

ENTRY_BYTES: Final = 16
"""Bytes of an index entry: offset and length of a chunk, 64 bits each."""

CHECKSUM_BYTES: Final = 4
"""Bytes of the CRC32C that follows the entries of an index."""

ABSENT: Final = 2**64 - 1
"""Offset in an index that marks a chunk as absent from the shard."""


def index_bytes(n_chunks: int) -> int:
    """Bytes of the index at the end of a shard's file."""
    return n_chunks * ENTRY_BYTES + CHECKSUM_BYTES


def parse_index(data: bytes | memoryview, n_chunks: int, where: object) -> ShardIndex:
    """Parse the index of a shard from the last bytes of its file; messages name ``where``.

    ``n_chunks`` is the number of chunks that the index lists. Zarr's sharding codec writes the
    index at the end of the file, followed by a CRC32C. Raises a ValueError if the bytes are too
    few, or the index fails its checksum.
    """
    entries, checksum = bytes(data[:-CHECKSUM_BYTES]), data[-CHECKSUM_BYTES:]
    is_whole = len(data) == index_bytes(n_chunks)
    if not is_whole or google_crc32c.value(entries) != int.from_bytes(checksum, "little"):
        raise ValueError(f"the index of {where} is cut short or fails its checksum")
    return np.frombuffer(entries, "<u8").reshape(n_chunks, 2)


def read_chunk(file: BinaryIO, row: int, n_chunks: int, values: np.ndarray) -> None:
    """Fill ``values`` with a row of an array, from the file of a shard with single-row chunks.

    Parameters
    ----------
    row
        Index of the row in the shard, from 0.
    n_chunks
        Number of chunks that the shard's index lists.

    Raises
    ------
    ValueError
        If the index fails its checksum, or the chunk is absent.
    OSError
        If the file is shorter than its index.
    RuntimeError
        If the chunk cannot be decompressed.
    """
    file.seek(-index_bytes(n_chunks), os.SEEK_END)
    offset, length = parse_index(file.read(), n_chunks, file.name)[row].tolist()
    if offset == ABSENT:
        raise ValueError(f"a chunk of {file.name} is absent")
    file.seek(offset)
    decompress(file.read(length), values)


@dataclass(frozen=True)
class MaskChunks:
    """Reads the array ``mask_code`` of a complete masks store, one chunk per object.

    zarr decodes each chunk into new memory and copies it twice, which takes twice as long as the
    decompression, and all threads share zarr's event loop. This class decodes into existing memory,
    which takes a tenth longer than the decompression, and any number of threads may read.

    Attributes
    ----------
    files
        Files of the masks store.
    shape
        Shape of ``mask_code``: object, prompt, proposal, y, x.
    shard_objects
        Number of objects per shard.
    manifest
        Manifest of the store, with which shards are compared.
    """

    files: Files
    shape: tuple[int, ...]
    shard_objects: int
    manifest: Manifest
    _indices: dict[str, bytes | memoryview] = field(default_factory=dict, init=False, compare=False)
    """Bytes of the index of each shard read so far, by file name. A shard in a folder is compared
    with the manifest before its index is read."""

    @property
    def object_bytes(self) -> int:
        """Bytes of one object's decoded masks."""
        return int(np.prod(self.shape[1:]))

    def read_into(self, rows: range, mask_code: MaskCode) -> None:
        """Fill ``mask_code`` with the masks of consecutive objects, which may be in several shards.

        A shard in a folder is compared with the manifest before it is first read. Raises a
        StoreError if a shard differs from the manifest, or a chunk is absent or damaged.
        """
        assert mask_code.shape == (len(rows), *self.shape[1:])
        for run in shard_runs(rows, self.shard_objects):
            first = run.start - rows.start
            self.decode(self._read(run), mask_code[first : first + len(run)])

    def decode(self, chunks: Sequence[bytes | memoryview], mask_code: MaskCode) -> None:
        """Decompress one chunk per object into ``mask_code``.

        Raises a StoreError, which names the store, if a chunk is damaged or has a code that this
        version does not know.
        """
        with naming_damage(self.files, MASK_CODE):
            for row, chunk in enumerate(chunks):
                decompress(chunk, mask_code[row])
            # Compiled passes look codes up in tables of this length, which they do not check.
            if mask_code.max(initial=0) >= N_CODES:
                raise ValueError(f"mask_code must be below {N_CODES}, got {mask_code.max()}")

    def _read(self, run: range) -> list[memoryview]:
        """Read the compressed chunks of consecutive objects of one shard."""
        name = self.shard_file(run.start)
        with naming_damage(self.files, MASK_CODE):
            if name not in self._indices:
                # At an address, reading a whole shard for some of its objects would take too long.
                if self.files.folder is not None:
                    self.check_shard(run.start)
                (self._indices[name],) = read_shard_indices([self], run.start)
            (span,) = read_spans([self], [self._indices[name]], run)
            return span

    def check_shard(self, row: int, sha256: str | None = None) -> None:
        """Raise a StoreError if the file of a row's shard differs from the manifest.

        A shard copied from another cell has valid checksums, so only the manifest detects it.
        ``sha256`` is that of the file's bytes; without it, or if it differs, the file is read.
        """
        name = self.shard_file(row)
        listed = self.manifest.get(name)
        if listed is None or sha256 != listed.sha256:
            check_chunks(self.files, name, listed, self.files.record(name))

    def shard_file(self, row: int) -> str:
        """Name of the file of the shard that contains a row."""
        return mask_file(row // self.shard_objects)

    @property
    def n_chunks(self) -> int:
        """Number of chunks (objects) that every shard's index lists: those of a full shard."""
        return min(self.shard_objects, self.shape[0])


def read_shard_indices(cells: Sequence[MaskChunks], row: int) -> list[bytes | memoryview]:
    """For each cell, the index of the shard that contains a row, as bytes for ``parse_index``."""
    ends = []
    for cell in cells:
        name = cell.shard_file(row)
        stop = cell.manifest[name].n_bytes
        ends.append(FileRange(cell.files, name, max(0, stop - index_bytes(cell.n_chunks)), stop))
    return read_ranges(ends)


def read_spans(
    cells: Sequence[MaskChunks], indices: Sequence[bytes | memoryview], run: range
) -> list[list[memoryview]]:
    """For each cell, read the compressed chunk of each of consecutive objects of one shard.

    ``indices`` has the bytes of each cell's index of the shard, from ``read_shard_indices``;
    ``run`` has the rows of the objects. Raises a StoreError if an index is damaged or a chunk is
    absent.
    """
    ranges, entries = [], []
    for cell, index in zip(cells, indices, strict=True):
        name, first = cell.shard_file(run.start), run.start % cell.shard_objects
        with naming_damage(cell.files, MASK_CODE):
            whole_index = parse_index(index, cell.n_chunks, f"{cell.files}/{name}")
            chunks = whole_index[first : first + len(run)]
            if (chunks[:, 0] == ABSENT).any():
                raise ValueError(f"a chunk of {cell.files}/{name} is absent")
        start = chunks[:, 0].min()
        ranges.append(FileRange(cell.files, name, int(start), int(chunks.sum(axis=1).max())))
        entries.append((chunks - np.array([start, 0], np.uint64)).tolist())
    spans = [memoryview(data) for data in read_ranges(ranges)]
    return [
        [span[offset : offset + length] for offset, length in of_cell]
        for span, of_cell in zip(spans, entries, strict=True)
    ]


def shard_runs(rows: range, shard_objects: int) -> list[range]:
    """Cut consecutive rows into ranges that each lie in one shard."""
    first = (rows.start // shard_objects + 1) * shard_objects
    cuts = [rows.start, *range(first, rows.stop, shard_objects), rows.stop]
    return [range(start, stop) for start, stop in pairwise(cuts) if start < stop]
