"""A user's images, checked and encoded once, and masks at their size."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from numba import njit
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from pipeline.extraction.iou import stretched
from pipeline.predictor.colours import describe_colours
from pipeline.sam.model import Embedding

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


@dataclass(frozen=True)
class EncodedImage:
    """An image as the model of a predictor encodes it."""

    rgb: Rgb
    embedding: Embedding

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        return self.embedding.size_px

    @cached_property
    def colours(self) -> Float64[np.ndarray, " descriptor"]:
        """What its colours are like, as training images are described."""
        return describe_colours(bytes_of(self.rgb))


def at_image(
    logits: Float[Tensor, "prompt proposal y x"], size_px: tuple[int, int]
) -> Float[Tensor, "prompt proposal height width"]:
    """Logits at the size of the image, as SAM2 upsamples them."""
    return interpolate(logits, size_px, mode="bilinear", align_corners=False)


def masks_at_image(
    logits: Float[Tensor, "prompt proposal y x"], size_px: tuple[int, int]
) -> Bool[np.ndarray, "prompt proposal height width"]:
    """``at_image(logits) > 0``.

    Notes
    -----
    A CPU takes a tenth of the time or less: rows are cut at 0 while they are upsampled, and those
    between two rows of background are skipped.
    """
    if logits.device.type != "cpu":
        far: Bool[np.ndarray, "prompt proposal height width"]
        far = (at_image(logits, size_px) > 0).cpu().numpy()
        return far
    masks = np.zeros((*logits.shape[:2], *size_px), np.bool_)
    sides = (stretched(n, n_px) for n, n_px in zip(logits.shape[2:], size_px, strict=True))
    places = (tuple(part.numpy() for part in (one.before, one.after, one.share)) for one in sides)
    _cut(logits.flatten(0, 1).numpy(), *places, masks.reshape(-1, *size_px))
    return masks


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _cut(logits, rows, columns, masks):  # noqa: ANN001, ANN202 - checkers cannot wrap it
    """Write where upsampled logits are above 0.

    Parameters
    ----------
    logits
        float32 (mask, y, x).
    rows, columns
        ``before``, ``after`` and ``share`` of the ``Stretch`` of each side.
    masks
        bool (mask, height, width), all False before.
    """
    above, below, shares = rows
    n_rows = logits.shape[1]
    wide = np.empty((n_rows, columns[0].size), np.float32)
    is_inside = np.empty(n_rows, np.bool_)
    for mask in range(logits.shape[0]):
        for y in range(n_rows):
            is_inside[y] = logits[mask, y].max() > 0
        for y in range(n_rows):
            if is_inside[max(y - 1, 0)] or is_inside[y] or is_inside[min(y + 1, n_rows - 1)]:
                _widen(logits[mask, y], columns, wide[y])
        for y in range(above.size):
            if is_inside[above[y]] or is_inside[below[y]]:
                upper, lower = wide[above[y]], wide[below[y]]
                share, rest = shares[y], np.float32(1) - shares[y]
                to = masks[mask, y]
                for x in range(to.size):
                    to[x] = rest * upper[x] + share * lower[x] > 0


@njit(nogil=True, cache=True, error_model="numpy")
@no_type_check
def _widen(row, columns, wide):  # noqa: ANN001, ANN202 - checkers cannot wrap it
    """Write an upsampled row of logits."""
    left, right, shares = columns
    for x in range(wide.size):
        rest = np.float32(1) - shares[x]
        wide[x] = rest * row[left[x]] + shares[x] * row[right[x]]
