"""Coded masks, decoded straight into the memory of the caller by the index of their shard."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import google_crc32c
import numpy as np
from jaxtyping import UInt8, UInt64
from numcodecs.zstd import decompress  # type: ignore[import-untyped]

from storage.files.manifest import Manifest, check_chunks
from storage.files.store_files import FileRange, Files, read_ranges
from storage.store.chunk_grid import MASK_CODE, mask_file
from storage.store.opening import naming_damage

MaskCode = UInt8[np.ndarray, "object prompt proposal y x"]

ShardIndex = UInt64[np.ndarray, "chunk 2"]
"""Offset and length of each chunk of a shard, in bytes."""

ENTRY_BYTES: Final = 16
"""Offset and length of a chunk, both 64 bits."""

CHECKSUM_BYTES: Final = 4
"""CRC32C of the entries, which follows them."""

ABSENT: Final = 2**64 - 1
"""Offset of a chunk that a shard does not hold."""


def index_bytes(n_chunks: int) -> int:
    """Size of an index, which ends its file."""
    return n_chunks * ENTRY_BYTES + CHECKSUM_BYTES


def parse_index(data: bytes | memoryview, n_chunks: int, where: object) -> ShardIndex:
    """Index of a shard, from the end of the file ``where``.

    Raises
    ------
    ValueError
        If the file is cut short, or the index fails its checksum.

    Notes
    -----
    The format of Zarr's sharding codec, with its index at the end, followed by a CRC32C.
    """
    entries, checksum = bytes(data[:-CHECKSUM_BYTES]), data[-CHECKSUM_BYTES:]
    is_whole = len(data) == index_bytes(n_chunks)
    if not is_whole or google_crc32c.value(entries) != int.from_bytes(checksum, "little"):
        raise ValueError(f"the index of {where} is cut short or fails its checksum")
    return np.frombuffer(entries, "<u8").reshape(n_chunks, 2)


@dataclass(frozen=True)
class MaskChunks:
    """``mask_code`` of a complete masks store: chunks of one object in shards of many.

    Notes
    -----
    zarr decodes each chunk into new memory and copies it twice, which takes twice as long as
    decompression, and all threads share its one event loop. Decoded into existing memory, a chunk
    takes a tenth longer than its decompression, and any number of threads may read.
    """

    files: Files
    shape: tuple[int, ...]
    shard_objects: int
    manifest: Manifest
    _indices: dict[str, bytes | memoryview] = field(default_factory=dict, init=False, compare=False)
    """Of each shard that was read from; one in a folder was compared with the manifest first."""

    @property
    def object_bytes(self) -> int:
        """Size of one object's decoded masks."""
        return int(np.prod(self.shape[1:]))

    def read_into(self, rows: range, mask_code: MaskCode) -> None:
        """Fill ``mask_code`` with consecutive objects, which may lie in several shards.

        Raises
        ------
        StoreError
            If a shard is damaged: it is not that of the manifest, or a chunk fails its checksum.
        """
        assert mask_code.shape == (len(rows), *self.shape[1:])
        for run in shard_runs(rows, self.shard_objects):
            first = run.start - rows.start
            self.decode(self._read(run), mask_code[first : first + len(run)])

    def decode(self, chunks: Sequence[bytes | memoryview], mask_code: MaskCode) -> None:
        """Decompress a chunk for each object; failures name the store."""
        with naming_damage(self.files, MASK_CODE):
            for row, chunk in enumerate(chunks):
                decompress(chunk, mask_code[row])

    def _read(self, run: range) -> list[memoryview]:
        """Chunks of consecutive objects of one shard."""
        name = self.shard_file(run.start)
        with naming_damage(self.files, MASK_CODE):
            if name not in self._indices:
                # Elsewhere, to read all of a shard for some of its objects would take too long.
                if self.files.folder is not None:
                    self.check_shard(run.start)
                (self._indices[name],) = read_shard_indices([self], run.start)
            (span,) = read_spans([self], [self._indices[name]], run)
            return span

    def check_shard(self, row: int, sha256: str | None = None) -> None:
        """Check a row's shard against the manifest, reading it whole unless its digest is given.

        Parameters
        ----------
        sha256
            Digest of what was read of it already.

        Raises
        ------
        StoreError
            If it is another file: chunks of the same size that were taken from another cell pass
            the checksums of index and chunk.
        """
        name = self.shard_file(row)
        wanted = self.manifest.get(name)
        if wanted is None or sha256 != wanted.sha256:
            check_chunks(self.files, name, wanted, self.files.record(name))

    def shard_file(self, row: int) -> str:
        """Name of the file that holds a row."""
        return mask_file(row // self.shard_objects)

    @property
    def n_chunks(self) -> int:
        """Entries of a shard's index."""
        return min(self.shard_objects, self.shape[0])


def read_shard_indices(cells: Sequence[MaskChunks], row: int) -> list[bytes | memoryview]:
    """Indices of the shards that hold a row, as ``parse_index`` takes them.

    Raises
    ------
    StoreError
        If a shard is not at its address.
    """
    ends = []
    for cell in cells:
        name = cell.shard_file(row)
        stop = cell.manifest[name].n_bytes
        ends.append(FileRange(cell.files, name, max(0, stop - index_bytes(cell.n_chunks)), stop))
    return read_ranges(ends)


def read_spans(
    cells: Sequence[MaskChunks], indices: Sequence[bytes | memoryview], run: range
) -> list[list[memoryview]]:
    """Chunks of consecutive objects of a shard of each cell, as they are stored.

    Raises
    ------
    StoreError
        If a shard is missing or cut short, its index fails its checksum, or a chunk is absent.
    """
    ranges, entries = [], []
    for cell, index in zip(cells, indices, strict=True):
        name, first = cell.shard_file(run.start), run.start % cell.shard_objects
        with naming_damage(cell.files, MASK_CODE):
            found = parse_index(index, cell.n_chunks, f"{cell.files}/{name}")
            found = found[first : first + len(run)]
            if (found[:, 0] == ABSENT).any():
                raise ValueError(f"a chunk of {cell.files}/{name} is absent")
        start = found[:, 0].min()
        ranges.append(FileRange(cell.files, name, int(start), int(found.sum(axis=1).max())))
        entries.append((found - np.array([start, 0], np.uint64)).tolist())
    spans = [memoryview(data) for data in read_ranges(ranges)]
    return [
        [span[offset : offset + length] for offset, length in of_cell]
        for span, of_cell in zip(spans, entries, strict=True)
    ]


def shard_runs(rows: range, shard_objects: int) -> list[range]:
    """Cut consecutive rows where a shard ends."""
    first = (rows.start // shard_objects + 1) * shard_objects
    cuts = [rows.start, *range(first, rows.stop, shard_objects), rows.stop]
    return [range(start, stop) for start, stop in pairwise(cuts) if start < stop]
