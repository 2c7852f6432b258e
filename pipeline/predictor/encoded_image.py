"""Checks images of users, and holds their embeddings."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image

from pipeline.embeddings import StoredEmbedding
from pipeline.sam.model import Embedding, Sam

Rgb = UInt8[np.ndarray, "height width 3"] | Float32[np.ndarray, "height width 3"]
"""RGB pixels: bytes on the scale 0..255, or floats on the scale 0..1."""

_LARGEST_FLOAT: Final = 2
"""Largest value of an image of floats: resampling may exceed 1 a little; larger values mean that
the image is on the scale 0..255."""


def rgb_of(image: object) -> Rgb:
    """Check an image of a user and return its pixels: bytes, or floats as float32, not scaled.

    Raises
    ------
    TypeError
        If the image is neither a PIL image nor an array.
    ValueError
        If the image has other channels than red, green and blue, no pixel, another type than uint8
        and floats, or floats beyond the scale 0..1, with which ``SAM2ImagePredictor`` gives almost
        useless masks.
    """
    if isinstance(image, Image.Image):
        if image.mode != "RGB":
            raise ValueError(f"image must be in mode RGB, got {image.mode}: use .convert('RGB')")
        return np.array(image)
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image must be a PIL image or an array, got {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:  # noqa: PLR2004 - RGB
        raise ValueError(f"image must be of shape (height, width, 3), got {image.shape}")
    if image.dtype == np.uint8:
        return _for_torch(image)
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image must be of uint8 or of floats in 0..1, got {image.dtype}")
    largest = float(np.abs(image).max())
    if not largest <= _LARGEST_FLOAT:
        raise ValueError(f"image of floats must be on the scale 0..1, got {largest:g}")
    return _for_torch(image.astype(np.float32, copy=False))


def bytes_of(rgb: Rgb) -> UInt8[np.ndarray, "height width 3"]:
    """Pixels as bytes on the scale 0..255: bytes as they are, floats clipped to 0..1 first."""
    if rgb.dtype == np.uint8:
        return rgb
    scaled: UInt8[np.ndarray, "height width 3"] = np.rint(255 * rgb.clip(0, 1)).astype(np.uint8)
    return scaled


def _for_torch(pixels: Rgb) -> Rgb:
    """Contiguous, writeable pixels, as torch needs them; copied if they are not."""
    contiguous = np.ascontiguousarray(pixels)
    return contiguous if contiguous.flags.writeable else contiguous.copy()


Statistics = Float32[np.ndarray, " statistic"]
"""Statistics of an image by the encoder of a family's smallest model, see ``TrainingImages``."""


class StoredImages(Protocol):
    """Embeddings in stores, found by ``pixels_sha256`` of their images."""

    def embedding(self, pixels_sha256: str) -> StoredEmbedding | None:
        """Embedding of an image by the predictor's model; None if no store has the image."""

    def smallest_statistics(self, pixels_sha256: str) -> Statistics | None:
        """Statistics of an image by the smallest model's encoder; None if no store has them."""


@dataclass(frozen=True)
class EncodedImage:
    """An image and its embedding by one model.

    Attributes
    ----------
    rgb
        Pixels; None if the embedding came from a store without them.
    smallest
        Smallest model of the family; None if that model computed the embedding, or if the heads do
        not know their training images.
    stored_statistics
        Value of ``statistics`` from a store; None if no store has it.
    """

    rgb: Rgb | None
    embedding: Embedding
    smallest: Sam | None = None
    stored_statistics: Statistics | None = None

    @cached_property
    def statistics(self) -> Statistics | None:
        """Encoder statistics of the image by the family's smallest model.

        None if that model is another than the encoding one, and neither statistics nor pixels are
        known.
        """
        if self.stored_statistics is not None:
            return self.stored_statistics
        embedding = self.embedding
        if self.smallest is not None:
            if self.rgb is None:
                return None
            embedding = self.smallest.encode(self.rgb)
        return torch.cat([*embedding.statistics.values()]).cpu().numpy()
