"""Plans an extraction before any work: divides objects into shards, pieces and decoder calls."""

from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

import numpy as np
from jaxtyping import Int

CPU_BATCH_TOKENS: Final = 32_768
"""Image tokens per decoder call at which a CPU is fastest, as measured by ``make bench``."""

CPU_BATCH: Final = 16
"""Prompt sets per decoder call beyond which a CPU gains nothing, as measured on the mini models."""

GPU_BATCH: Final = 64
"""Prompt sets per decoder call on a GPU: a guess, which ``extract.decoder_batch`` overrides."""


@dataclass(frozen=True)
class Piece:
    """The objects of one image in one shard, which are read, encoded and decoded together."""

    image: int
    """Index of the image in the split, from 0."""
    start: int
    stop: int
    """Row of the split after the last object; ``start`` is the row of the first."""


@dataclass(frozen=True)
class Shard:
    """Consecutive objects of a split, which are stored together, in pieces of one image each."""

    index: int
    """Index of the shard in the split, from 0."""
    start: int
    stop: int
    """Row of the split after the last object; ``start`` is the row of the first."""
    pieces: tuple[Piece, ...]


def plan_shards(image_index: Int[np.ndarray, " object"], shard_objects: int) -> tuple[Shard, ...]:
    """Divide a split into shards, and each shard into one piece per image.

    ``image_index`` has the index of each object's image; the objects of an image are consecutive,
    but may lie in several shards. The last shard may have fewer than ``shard_objects``.
    """
    n_objects = len(image_index)
    firsts = np.flatnonzero(np.diff(image_index, prepend=-1))
    cuts = np.union1d(firsts, np.arange(0, n_objects, shard_objects))
    stops = np.append(cuts[1:], n_objects)
    pieces = [Piece(int(image_index[a]), int(a), int(b)) for a, b in zip(cuts, stops, strict=True)]
    by_shard = groupby(pieces, lambda piece: piece.start // shard_objects)
    return tuple(
        Shard(index, start, min(start + shard_objects, n_objects), tuple(of_shard))
        for start, (index, of_shard) in zip(
            range(0, n_objects, shard_objects), by_shard, strict=True
        )
    )


def decoder_batch(setting: int | Literal["auto"], *, device: str, mask_size_px: int) -> int:
    """Number of prompt sets per decoder call: the setting, or a number that ``auto`` stands for.

    Device (``cpu``, or any other for a GPU) and side of the low-resolution masks fix that number.
    It is not found by timing, because the batch size changes the last bits of the rows, which must
    be reproducible.
    """
    if setting == "auto":
        if device != "cpu":
            return GPU_BATCH
        n_image_tokens = (mask_size_px // 4) ** 2
        return max(1, min(CPU_BATCH, CPU_BATCH_TOKENS // n_image_tokens))
    return setting
