"""Coded masks, decoded straight into the caller's memory."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numcodecs.zstd import decompress  # type: ignore[import-untyped]

from storage.store.arrays import naming_damage
from storage.store.grid import file_name
from storage.store.shard_index import ABSENT, read_index

MaskCode = UInt8[np.ndarray, "object prompt proposal y x"]


@dataclass(frozen=True)
class MaskChunks:
    """``mask_code`` of a complete masks store: chunks of one object in shards of many.

    Notes
    -----
    zarr decodes each chunk into new memory and copies it twice, which takes twice as long as
    decompression, and all threads share its one event loop. Decoded into existing memory, a chunk
    takes a tenth longer than its decompression, and any number of threads may read.
    """

    store: Path
    shape: tuple[int, ...]
    shard_objects: int

    @property
    def object_bytes(self) -> int:
        """Size of one object's decoded masks."""
        return int(np.prod(self.shape[1:]))

    def read_into(self, rows: range, mask_code: MaskCode) -> None:
        """Fill ``mask_code`` with consecutive objects, which may lie in several shards.

        Raises
        ------
        StoreError
            If a shard is damaged: cut short, or its index or a chunk fails its checksum.
        """
        assert mask_code.shape == (len(rows), *self.shape[1:])
        with naming_damage(self.store, "mask_code"):
            for run in shard_runs(rows, self.shard_objects):
                for row, chunk in zip(run, self.compressed(run), strict=True):
                    decompress(chunk, mask_code[row - rows.start])

    def compressed(self, run: range) -> list[bytes]:
        """Chunks of consecutive objects of one shard, as they are on disk."""
        shard, place = divmod(run.start, self.shard_objects)
        return _read_chunks(
            self.store / "mask_code" / file_name((shard, 0, 0, 0, 0)),
            n_chunks=min(self.shard_objects, self.shape[0]),
            wanted=range(place, place + len(run)),
        )


def shard_runs(rows: range, shard_objects: int) -> list[range]:
    """Cut consecutive rows where a shard ends."""
    first = (rows.start // shard_objects + 1) * shard_objects
    cuts = [rows.start, *range(first, rows.stop, shard_objects), rows.stop]
    return [range(start, stop) for start, stop in pairwise(cuts) if start < stop]


def _read_chunks(path: Path, *, n_chunks: int, wanted: range) -> list[bytes]:
    """Compressed bytes of consecutive chunks of a shard."""
    with path.open("rb", buffering=0) as file:
        index = read_index(file, n_chunks)
        chunks = []
        for place in wanted:
            offset, length = index[place].tolist()
            if offset == ABSENT:
                raise ValueError(f"chunk {place} of {path} is absent")
            file.seek(offset)
            chunks.append(file.read(length))
    return chunks
