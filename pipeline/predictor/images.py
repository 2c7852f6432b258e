"""Images as people have them, checked, and with their encodings, each made once."""

from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from pipeline.sam.model import Embedding, Sam
from pipeline.views import View, apply_view, default_view

Rgb = UInt8[np.ndarray, "height width 3"] | Float32[np.ndarray, "height width 3"]
"""Bytes on the scale 0..255, floats on 0..1."""

_LARGEST_FLOAT: Final = 2
"""Resampling overshoots 1 a little; what exceeds this is on the scale 0..255."""


def rgb_of(image: object) -> Rgb:
    """Check an image and return its pixels.

    Raises
    ------
    TypeError
        If it is neither a PIL image nor an array.
    ValueError
        If it has other channels than red, green and blue, no pixel, or another type or scale.

    Notes
    -----
    ``SAM2ImagePredictor`` takes floats as they are, too; on the scale 0..255 it does not fail, but
    sees next to nothing.
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
        return _own(image)
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image must be of uint8 or of floats in 0..1, got {image.dtype}")
    largest = float(np.abs(image).max())
    if not largest <= _LARGEST_FLOAT:
        raise ValueError(f"image of floats must be on the scale 0..1, got {largest:g}")
    return _own(image.astype(np.float32, copy=False))


def bytes_of(rgb: Rgb) -> UInt8[np.ndarray, "height width 3"]:
    """The same pixels on the scale 0..255."""
    if rgb.dtype == np.uint8:
        return rgb
    scaled: UInt8[np.ndarray, "height width 3"] = np.rint(255 * rgb.clip(0, 1)).astype(np.uint8)
    return scaled


def _own(pixels: Rgb) -> Rgb:
    """The pixels in memory that torch takes: not reversed by a view, and writeable."""
    contiguous = np.ascontiguousarray(pixels)
    return contiguous if contiguous.flags.writeable else contiguous.copy()


IDENTITY: Final = default_view("identity")


class EncodedImage:
    """An image as the model of a predictor encodes it; other views and models come later, if ever.

    ``n_encodes`` counts these.
    """

    def __init__(self, sam: Sam, rgb: Rgb, embedding: Embedding) -> None:
        self._rgb = rgb
        self._sam = sam
        self.embedding = embedding
        self.n_encodes = 0
        self._encodings: dict[tuple[Sam, str], Embedding] = {(sam, _key(IDENTITY, "")): embedding}

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        return self.embedding.size_px

    def by(self, sam: Sam) -> Embedding:
        """The image itself, encoded by another model."""
        return self._encoded(sam, IDENTITY, "")

    def in_view(self, view: View, *, name: str = "") -> Embedding:
        """A view of the image, encoded by the same model.

        Parameters
        ----------
        name
            Name of the image, which seeds what is random in a view.
        """
        return self._encoded(self._sam, view, name)

    def _encoded(self, sam: Sam, view: View, name: str) -> Embedding:
        key = sam, _key(view, name)
        if key not in self._encodings:
            rgb = (
                self._rgb if view == IDENTITY else apply_view(bytes_of(self._rgb), view, image=name)
            )
            self._encodings[key] = sam.encode(rgb)
            self.n_encodes += 1
        return self._encodings[key]


def _key(view: View, name: str) -> str:
    return view.name if view == IDENTITY else f"{view.name} {view.described_parameters} {name}"
