"""The shards of a split, each named by a digest of what it is computed from."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from pipeline.extraction.plan import Piece, Shard, plan_shards
from storage.split.objects import ObjectTable, images_of_shards, input_sha256, objects_digest


@dataclass(frozen=True, eq=False)
class PreparedSplit:
    """A prepared split, cut into shards, and the digests that its cells must have."""

    table: ObjectTable
    shard_objects: int
    """Objects per shard; the last may have fewer."""

    @cached_property
    def objects_digest(self) -> str:
        """Digest of all objects, without the bytes of their images."""
        return objects_digest(self.table)

    @cached_property
    def images_sha256(self) -> list[str]:
        """Digest of each shard's images."""
        return images_of_shards(self.table, self.shard_objects)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the shards, by their index; those of the same inputs have the same."""
        inputs = ([self.input_sha256(piece) for piece in shard.pieces] for shard in self._plan)
        return tuple(shard_name(self.full_rows, own) for own in inputs)

    @cached_property
    def shards(self) -> dict[str, Shard]:
        """Shards by their names, in the order of the rows; the first of those with the same."""
        shards: dict[str, Shard] = {}
        for name, shard in zip(self.names, self._plan, strict=True):
            shards.setdefault(name, shard)
        return shards

    @cached_property
    def _plan(self) -> tuple[Shard, ...]:
        return plan_shards(self.table.image_index, self.shard_objects)

    @property
    def full_rows(self) -> int:
        """Rows that the file of a shard has room for."""
        return min(self.shard_objects, self.table.n_objects)

    def input_sha256(self, piece: Piece) -> str:
        """Digest of what the objects of a piece are computed from."""
        return input_sha256(self.table, slice(piece.start, piece.stop))

    def n_objects(self, names: Sequence[str]) -> int:
        """Objects of some shards."""
        return sum(self.shards[name].stop - self.shards[name].start for name in names)


def shard_name(full_rows: int, inputs: Iterable[str]) -> str:
    """Name of a shard.

    Parameters
    ----------
    full_rows
        Rows that its file has room for.
    inputs
        ``input_sha256`` of its pieces, or of its rows.

    Returns
    -------
    sha256 in hex.
    """
    pieces = [digest for digest, _ in groupby(inputs)]
    return hashlib.sha256(json.dumps([full_rows, *pieces]).encode()).hexdigest()


def names_of_rows(rows_sha256: np.ndarray, shard_objects: int) -> list[str]:
    """Names of the shards of a store, by the ``input_sha256`` of its rows."""
    full_rows = min(shard_objects, len(rows_sha256))
    starts = range(0, len(rows_sha256), shard_objects)
    shards = (map(str, rows_sha256[start : start + shard_objects]) for start in starts)
    return [shard_name(full_rows, own) for own in shards]
