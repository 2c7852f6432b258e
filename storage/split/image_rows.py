"""Images as the rows of an embeddings store, cut into shards; the names of shards of any rows."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import ClassVar, Final

import numpy as np
from jaxtyping import Int32, Shaped

from pipeline.extraction.shards import Piece, Shard

SHARD_IMAGES: Final = 16
"""Number of images per shard: files have 134 MB or less at full size, and COCO val has 1,000."""


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Images in arrays named as in the schema, cut into shards of consecutive images.

    They are the rows of embeddings, as the objects of a ``PreparedSplit`` are those of masks.
    """

    file: Shaped[np.ndarray, " image"]
    height_px: Int32[np.ndarray, " image"]
    width_px: Int32[np.ndarray, " image"]
    image_sha256: Shaped[np.ndarray, " image"]
    shard_rows: int = SHARD_IMAGES
    """Number of images per shard; the last shard may have fewer."""
    dim: ClassVar[str] = "image"
    """Name of the dimension of the rows."""

    @property
    def n_rows(self) -> int:
        """Number of rows, which are images."""
        return len(self.file)

    @cached_property
    def digest(self) -> str:
        """Sha256 of the names of the images in their order, in hex."""
        return hashlib.sha256("\n".join(map(str, self.file)).encode()).hexdigest()

    @cached_property
    def inputs(self) -> list[str]:
        """For each image, the sha256 of its name and of its file's digest, in hex.

        The name is included, since all frames of a video have the digest of the video.
        """
        pairs = zip(self.file, self.image_sha256, strict=True)
        return [hashlib.sha256(f"{file}\n{sha256}".encode()).hexdigest() for file, sha256 in pairs]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the shards in row order."""
        return tuple(names_of_rows(self.inputs, self.shard_rows))

    @cached_property
    def shards(self) -> dict[str, Shard]:
        """Shards by name, in row order; each image is a piece (a unit of work) of its shard."""
        starts = range(0, self.n_rows, self.shard_rows)
        rows = [range(start, min(start + self.shard_rows, self.n_rows)) for start in starts]
        pieces = [tuple(Piece(row, row, row + 1) for row in of_shard) for of_shard in rows]
        return {
            name: Shard(index, of_shard.start, of_shard.stop, pieces[index])
            for index, (name, of_shard) in enumerate(zip(self.names, rows, strict=True))
        }

    @property
    def full_rows(self) -> int:
        """Number of images of a full shard: ``shard_rows``, or all images if they are fewer."""
        return min(self.shard_rows, self.n_rows)

    def count_images(self, names: Sequence[str]) -> int:
        """Number of images in the named shards."""
        return self.count_rows(names)

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
