"""Images as people have them, checked, and with their encodings, each made once."""

from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from pipeline.predictor.prompts import DecoderPrompts
from pipeline.sam.model import Decoded, Embedding, Sam
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
        self.embedding = embedding
        self.n_encodes = 0
        self._rgb = rgb
        self._encodings = {_key(sam, IDENTITY, ""): embedding}

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        return self.embedding.size_px

    def encoded(self, sam: Sam, view: View = IDENTITY, *, name: str = "") -> Embedding:
        """A view of the image, encoded by a model.

        Parameters
        ----------
        name
            Name of the image, which seeds what is random in a view.
        """
        key = _key(sam, view, name)
        if key not in self._encodings:
            is_itself = view == IDENTITY
            rgb = self._rgb if is_itself else apply_view(bytes_of(self._rgb), view, image=name)
            self._encodings[key] = sam.encode(rgb)
            self.n_encodes += 1
        return self._encodings[key]


def _key(sam: Sam, view: View, name: str) -> tuple[Sam, str, str, str]:
    return sam, view.name, view.described_parameters, name


def decode_prompts(
    sam: Sam, embedding: Embedding, prompts: DecoderPrompts, *, multimask_output: bool = True
) -> Decoded:
    """Masks of prompt sets about an encoded image, in one decoder call."""
    return sam.decode(
        embedding,
        prompts.points,
        labels=prompts.labels,
        mask_input=prompts.mask_input,
        multimask_output=multimask_output,
    )
