"""Cuts the objects or the images of a table into shards, and names the shards."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Final, Literal

import numpy as np

from pipeline.extraction.shards import Piece, Shard, plan_shards
from storage.split.object_table import ObjectTable, array_sha256

SHARD_IMAGES: Final = 16
"""Number of images per shard: files have 134 MB or less at full size, and COCO val has 1,000."""


@dataclass(frozen=True, eq=False)
class ShardedTable:
    """A table whose rows (its objects or, for embeddings, its images) are cut into shards.

    Attributes
    ----------
    shard_rows
        Number of rows per shard; the last shard may have fewer.
    dim
        Name of the dimension of the rows.
    of_rows
        Number of rows of the table of which this is a part; 0 for a whole table.
    """

    table: ObjectTable
    shard_rows: int
    dim: Literal["object", "image"] = "object"
    of_rows: int = 0

    @cached_property
    def images(self) -> "ShardedTable":
        """Rows of an embeddings store of the split: a row per image, also if it has no objects."""
        return replace(self, shard_rows=SHARD_IMAGES, dim="image", of_rows=0)

    @cached_property
    def digest(self) -> str:
        """Sha256 of the table without the content of images, in hex; of images, of their names."""
        if self.dim == "object":
            return self.table.digest
        return hashlib.sha256("\n".join(map(str, self.table.file)).encode()).hexdigest()

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.table.file) if self.dim == "image" else self.table.n_objects

    @property
    def full_rows(self) -> int:
        """Number of rows of a full shard: ``shard_rows``, or all rows if they are fewer."""
        return min(self.shard_rows, self.of_rows or self.n_rows)

    def part(self, first: int, stop: int) -> "ShardedTable":
        """Rows of the shards from ``first`` to before ``stop``; the shards keep their names.

        A part of objects begins with the first image of a shard of images, so that an image has the
        same index in it and in the part of images with the shards from there on.
        """
        shards = self._plan[first:stop]
        start, last = shards[0].pieces[0].image, shards[-1].pieces[-1].image
        if self.dim == "object":
            start -= start % SHARD_IMAGES
        rows = slice(shards[0].start, shards[-1].stop) if self.dim == "object" else slice(0, 0)
        table = self.table.part(slice(start, last + 1), rows)
        return replace(self, table=table, of_rows=self.of_rows or self.n_rows)

    @cached_property
    def images_sha256(self) -> list[str]:
        """For each shard, the sha256 of the names and digests of its images, in hex."""
        images = ([piece.image for piece in shard.pieces] for shard in self._plan)
        file, sha256 = self.table.file, self.table.image_sha256
        texts = ("".join(f"{file[i]}\n{sha256[i]}\n" for i in of_shard) for of_shard in images)
        return [hashlib.sha256(text.encode()).hexdigest() for text in texts]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the shards in row order; shards of equal images, masks and clicks share one."""
        inputs = (map(self.input_sha256, shard.pieces) for shard in self._plan)
        return tuple(shard_name(self.full_rows, digests) for digests in inputs)

    @cached_property
    def shards(self) -> dict[str, Shard]:
        """Shards by name, in row order; of several shards with the same name, the first."""
        shards: dict[str, Shard] = {}
        for name, shard in zip(self.names, self._plan, strict=True):
            shards.setdefault(name, shard)
        return shards

    @cached_property
    def _plan(self) -> tuple[Shard, ...]:
        images = np.arange(self.n_rows) if self.dim == "image" else self.table.image_index
        return plan_shards(images, self.shard_rows)

    def input_sha256(self, piece: Piece) -> str:
        """Sha256 of the inputs of a piece (the rows of one image in one shard), in hex.

        Inputs are name and sha256 of the image, and masks and clicks of objects. The name seeds the
        noise of a view, and all frames of a video have the digest of the video. Split, ids and
        areas are left out.
        """
        table, rows = self.table, slice(piece.start, piece.stop)
        inputs = [str(table.file[piece.image]), str(table.image_sha256[piece.image])]
        if self.dim == "object":
            arrays = {"mask_rle": table.mask_rle, "point_px": table.point_px}
            inputs += [array_sha256(name, values[rows]) for name, values in arrays.items()]
        return hashlib.sha256("\n".join(inputs).encode()).hexdigest()

    def count_images(self, names: Sequence[str]) -> int:
        """Number of different images in the named shards."""
        return len({piece.image for name in names for piece in self.shards[name].pieces})

    def count_rows(self, names: Sequence[str]) -> int:
        """Number of rows in the named shards."""
        return sum(self.shards[name].stop - self.shards[name].start for name in names)


def shard_name(full_rows: int, inputs: Iterable[str]) -> str:
    """Name of a shard: a sha256 in hex of its inputs.

    ``full_rows`` is the number of rows of a full shard of the split. ``inputs`` are the digests of
    the inputs of the shard's rows in order. Consecutive repeats count once, so a digest may also
    stand for all rows of an image.
    """
    pieces = [digest for digest, _ in groupby(inputs)]
    return hashlib.sha256(json.dumps([full_rows, *pieces]).encode()).hexdigest()


def names_of_rows(inputs: Sequence[str], shard_rows: int) -> list[str]:
    """Names of the shards of a store in row order.

    ``inputs`` has the digest of the inputs of each row, the store's array ``input_sha256``;
    ``shard_rows`` is the number of rows per shard, of which the last may have fewer.
    """
    full_rows = min(shard_rows, len(inputs))
    starts = range(0, len(inputs), shard_rows)
    return [shard_name(full_rows, inputs[start : start + shard_rows]) for start in starts]
