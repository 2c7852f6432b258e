"""An encoded image as stores keep it: NumPy arrays of the levels that a decoder reads."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.vocabulary import MAX_PIXELS

LEVELS: Final = ("finest_level", "finer_level", "image_embedding")
"""Names of the levels of an embedding: the image embedding is the coarsest level, the two others
have four times and twice its rows and columns."""

LevelType = Literal["float32", "bfloat16"]

SUFFIXES: Final[Mapping[LevelType, str]] = {"float32": "", "bfloat16": "_bf16"}
"""Ending of an array's name by the type of its level."""

KEPT_AS: Final[Mapping[LevelType, str]] = {"float32": "float32", "bfloat16": "uint16"}
"""Type of an array by the type of its level: NumPy and Zarr have no bfloat16, so ``uint16`` holds
the bits of such a number."""

Levels = Mapping[str, np.ndarray]
"""Arrays ``(channel, row, column)`` of one image, by their names in the cache: the name of the
level with the suffix of its type."""


@dataclass(frozen=True, eq=False)
class StoredEmbedding:
    """An image's embedding as a store keeps it; ``Sam.restore`` makes it an ``Embedding`` again.

    Attributes
    ----------
    size_px
        Height and width of the image before it was resized.
    statistics
        ``encoder_mean`` and ``encoder_std``, see ``Embedding.statistics``.
    """

    levels: Levels
    size_px: tuple[int, int]
    statistics: Mapping[str, Float32[np.ndarray, " encoder_channel"]]
    pixels_sha256: str

    def __post_init__(self) -> None:
        """Raise a ValueError for an image without pixels, or larger than any that is read."""
        height, width = self.size_px
        if min(height, width) < 1 or height * width > MAX_PIXELS:
            raise ValueError(
                f"embedding must be of an image of 1 to {MAX_PIXELS} pixels, got {height} x {width}"
            )

    @property
    def in_order(self) -> tuple[np.ndarray, ...]:
        """Arrays of the levels, in the order of ``LEVELS``."""
        names = ((level, name) for level in LEVELS for name in self.levels)
        return tuple(self.levels[name] for level, name in names if name.startswith(level))


def level_names(precision: str) -> tuple[str, ...]:
    """Names of an embedding's arrays, in the order of ``LEVELS``.

    >>> level_names("bf16")
    ('finest_level_bf16', 'finer_level_bf16', 'image_embedding')

    Parameters
    ----------
    precision
        Precision of the model: ``fp32``, or ``bf16``, in which the coarsest level stays float32,
        because the encoder adds a vector of single precision to it.
    """
    finer: LevelType = "bfloat16" if precision == "bf16" else "float32"
    types: tuple[LevelType, ...] = (finer, finer, "float32")
    return tuple(
        f"{level}{SUFFIXES[level_type]}" for level, level_type in zip(LEVELS, types, strict=True)
    )


def check_embedding(embedding: object, precision: str) -> None:
    """Refuse an argument that is no stored embedding, or of another precision than the model.

    Raises
    ------
    TypeError, ValueError
        The first for another type, such as an array.
    """
    if not isinstance(embedding, StoredEmbedding):
        kind = type(embedding).__name__
        raise TypeError(f"embedding must be from read_embedding, got {kind}")
    names = set(embedding.levels)
    if names != set(level_names(precision)):
        raise ValueError(
            f"embedding must be of the precision {precision}, got {', '.join(sorted(names))}"
        )


def pixels_sha256(rgb: UInt8[np.ndarray, "height width 3"]) -> str:
    """SHA-256 of an image's pixels and size, in hex; the format of its file plays no part."""
    height, width, _ = rgb.shape
    digest = hashlib.sha256(f"{height} x {width}\n".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


def levels_sha256(levels: Levels) -> str:
    """SHA-256 of an image's levels, in hex: of names and bytes of the arrays, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(levels):
        digest.update(f"{name}\n".encode())
        digest.update(np.ascontiguousarray(levels[name]).data)
    return digest.hexdigest()
