"""Images that somebody sends, as bytes in memory: nothing is opened by name, nothing written."""

import io
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from storage.errors import ImageError
from storage.images.files import DECODER_ERRORS, check_mode, upright_rgb

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are read. For some others, Pillow runs programs that write files."""

BOMB: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""What Pillow raises at an image of too many pixels for itself, and may warn of at fewer."""


def decode_rgb(data: bytes, *, most_px: int) -> UInt8[np.ndarray, "h w 3"]:
    """Pixels of an image file, as ``storage.images.files.read_rgb`` gives them.

    Parameters
    ----------
    data
        The file's bytes.
    most_px
        Most pixels that it may have: an image of more is refused before it is decoded.

    Raises
    ------
    ImageError
        If it is of another format, of too many pixels, damaged, or of a depth without an 8-bit RGB.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image, most_px)
            check_mode(image, "image")
            return upright_rgb(image)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise ImageError(f"image must be a file in one of the formats {known}, got none") from error
    except BOMB as error:
        raise ImageError(f"{_rule(most_px)}, got many more") from error
    except DECODER_ERRORS as error:
        raise ImageError(f"image must be readable, got: {error}") from error


def _check_size(image: Image.Image, most_px: int) -> None:
    n_px = image.width * image.height
    if n_px > most_px:
        raise ImageError(f"{_rule(most_px)}, got {n_px / 1e6:.1f}")


def _rule(most_px: int) -> str:
    return f"image must have at most {most_px / 1e6:g} megapixels"
