"""Pictures as the bytes of a PNG file."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

Pixels = UInt8[np.ndarray, "height width"] | UInt8[np.ndarray, "height width 3"]
"""Grey, or red, green and blue."""


def png_bytes(picture: Pixels | Image.Image, *, compress_level: int = 6, bits: int = 8) -> bytes:
    """A picture as PNG.

    Parameters
    ----------
    compress_level
        0 to 9; 6 is zlib's own, 1 takes a fraction of its time.
    bits
        Of a pixel of a palette.
    """
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    png = io.BytesIO()
    image.save(png, "PNG", compress_level=compress_level, bits=bits)
    return png.getvalue()
