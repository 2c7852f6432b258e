"""Image files in, RGB arrays out; a file that cannot be used is named with the reason."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from storage.errors import ImageError

READABLE_MODES: Final = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Pillow's modes that have a true 8-bit RGB; ``I;16``, ``I`` and ``F`` would be cut off at 255."""

DECODER_ERRORS: Final = (
    OSError,
    SyntaxError,  # Pillow's for a broken PNG
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises at a file that it cannot read."""


def read_rgb(path: Path, *, height_px: int, width_px: int) -> UInt8[np.ndarray, "h w 3"]:
    """Pixels of an image file as stored: no EXIF rotation, transparency dropped.

    Parameters
    ----------
    path
        Any format that Pillow reads.
    height_px, width_px
        The size on record; the object masks have it.

    Raises
    ------
    ImageError
        If the file is missing, truncated, of another size or of a depth without an 8-bit RGB.
    """
    with _opened(path, (height_px, width_px)) as image:
        return _to_rgb(image)


def check_header(path: Path, *, height_px: int, width_px: int) -> None:
    """Refuse what ``read_rgb`` would refuse by its first bytes; truncated pixels are not seen.

    Raises
    ------
    ImageError
        As ``read_rgb``.
    """
    with _opened(path, (height_px, width_px)):
        pass


@contextmanager
def _opened(path: Path, size_px: tuple[int, int]) -> Iterator[Image.Image]:
    """Open an image of a size; errors name it, those of the block too."""
    try:
        with Image.open(path) as image:
            _check(image, path, size_px)
            yield image
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{path} must be an image file, got no such file") from error
    except DECODER_ERRORS as error:
        reason = str(error).replace(f" {str(path)!r}", "")
        raise ImageError(f"{path} must be a readable image, got: {reason}") from error


def sha256_file(path: Path) -> str:
    """Sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(image: Image.Image, path: Path, size_px: tuple[int, int]) -> None:
    if (image.height, image.width) != size_px:
        raise ImageError(
            f"{path} must be {size_px[0]} px high and {size_px[1]} px wide as its record says, "
            f"got {image.height} x {image.width}"
        )
    if image.mode not in READABLE_MODES:
        raise ImageError(
            f"{path} must have a mode with 8-bit colours ({', '.join(READABLE_MODES)}), "
            f"got {image.mode}"
        )


def _to_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    # A palette with transparency as bytes warns on its way to RGB, not to RGBA.
    opaque = image.convert("RGBA") if "transparency" in image.info else image
    return np.array(opaque.convert("RGB"), np.uint8)
