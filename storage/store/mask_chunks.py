"""Coded masks, decoded straight into the memory of the caller by the index of their shard."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Final

import google_crc32c
import numpy as np
from jaxtyping import UInt8, UInt64
from numcodecs.zstd import decompress  # type: ignore[import-untyped]
from zarr.abc.store import RangeByteRequest, SuffixByteRequest

from storage.files.files import FileRange, Files, read_ranges
from storage.files.manifest import Manifest, check_chunks
from storage.store.grid import file_name
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


def read_index(file: FileIO, n_chunks: int) -> ShardIndex:
    """Index of a shard; only the end of its file is read.

    Raises
    ------
    ValueError
        As ``parse_index``.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - index_bytes(n_chunks)))
    return parse_index(file.read(index_bytes(n_chunks)), n_chunks, str(file.name))


def parse_index(data: bytes, n_chunks: int, where: str) -> ShardIndex:
    """Index of a shard, from the end of the file ``where``.

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
    _intact: set[str] = field(default_factory=set, init=False, compare=False)
    """Shards that were compared with the manifest."""

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
            self.decode(self.compressed(run), mask_code[first : first + len(run)])

    def decode(self, chunks: Sequence[bytes | memoryview], mask_code: MaskCode) -> None:
        """Decompress a chunk for each object; failures name the store."""
        with naming_damage(self.files, "mask_code"):
            for row, chunk in enumerate(chunks):
                decompress(chunk, mask_code[row])

    def compressed(self, run: range) -> list[bytes]:
        """Chunks of consecutive objects of one shard, as they are stored."""
        if self.files.folder is None:
            (span,) = read_spans([self], read_indices([self], run.start), run)
            return [bytes(chunk) for chunk in span]
        name = self.shard_file(run.start)
        with naming_damage(self.files, "mask_code"):
            if name not in self._intact:
                self.check_shard(run.start)
            return self._from_disk(self.files.folder / name, run)

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
        self._intact.add(name)

    def shard_file(self, row: int) -> str:
        """Name of the file that holds a row."""
        return f"mask_code/{file_name((row // self.shard_objects, 0, 0, 0, 0))}"

    def positions(self, run: range) -> range:
        """Of consecutive objects in their shard."""
        first = run.start % self.shard_objects
        return range(first, first + len(run))

    @property
    def n_chunks(self) -> int:
        """Entries of a shard's index."""
        return min(self.shard_objects, self.shape[0])

    def _from_disk(self, path: Path, run: range) -> list[bytes]:
        with path.open("rb", buffering=0) as file:
            index = read_index(file, self.n_chunks)
            chunks = []
            for position in self.positions(run):
                offset, length = _entry(index, position, str(path))
                file.seek(offset)
                chunks.append(file.read(length))
        return chunks


def index_data(index: ShardIndex) -> bytes:
    """Bytes of an index, as ``parse_index`` takes them."""
    entries = index.tobytes()
    checksum: int = google_crc32c.value(entries)
    return entries + checksum.to_bytes(CHECKSUM_BYTES, "little")


def read_indices(cells: Sequence[MaskChunks], row: int) -> list[ShardIndex]:
    """Indices of the shards that hold a row, elsewhere than in folders; all are asked at once.

    Raises
    ------
    StoreError
        If a shard is missing or cut short, or its index fails its checksum.
    """
    ends = [
        FileRange(cell.files, cell.shard_file(row), SuffixByteRequest(index_bytes(cell.n_chunks)))
        for cell in cells
    ]
    indices = []
    for cell, end, data in zip(cells, ends, read_ranges(ends), strict=True):
        with naming_damage(cell.files, "mask_code"):
            indices.append(parse_index(bytes(data), cell.n_chunks, str(end)))
    return indices


def read_spans(
    cells: Sequence[MaskChunks], indices: Sequence[ShardIndex], run: range
) -> list[list[memoryview]]:
    """Chunks of consecutive objects of a shard, elsewhere than in folders; all are asked at once.

    Raises
    ------
    StoreError
        If a shard is missing or cut short, or a chunk is absent.
    """
    ranges, entries = [], []
    for cell, index in zip(cells, indices, strict=True):
        name = cell.shard_file(run.start)
        with naming_damage(cell.files, "mask_code"):
            found = [
                _entry(index, position, f"{cell.files}/{name}") for position in cell.positions(run)
            ]
        first = min(offset for offset, _ in found)
        last = max(offset + length for offset, length in found)
        ranges.append(FileRange(cell.files, name, RangeByteRequest(first, last)))
        entries.append([(offset - first, length) for offset, length in found])
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


def _entry(index: ShardIndex, position: int, where: str) -> tuple[int, int]:
    """Offset and length of a chunk."""
    offset, length = index[position].tolist()
    if offset == ABSENT:
        raise ValueError(f"chunk {position} of {where} is absent")
    return offset, length
