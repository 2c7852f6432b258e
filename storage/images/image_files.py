"""Reads image files as RGB arrays and writes pictures as PNG."""

import io
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

from storage.errors import ImageError
from storage.folders import is_special

Pixels = UInt8[np.ndarray, "height width"] | UInt8[np.ndarray, "height width 3"]
"""Pixels of a picture: grey values, or red, green and blue."""

READABLE_MODES: Final = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Pillow's modes with 8 bits per colour. Larger values of other modes would be cut off at 255."""

DEEP: Final = (";16B", ";16L", ";16N")
"""Suffixes of Pillow's raw modes with 16 bits per colour; ``BGR;16`` has five or six bits."""

FORMATS: Final = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF"),
)
"""Formats of images and masks, AVIF and HEIF where Pillow reads them. Pillow reads more: EPS by
Ghostscript, which runs the program that such a file is, whatever the file is called."""

BOMB: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""Types that Pillow raises for an image with too many pixels: the warning comes at half as many
pixels as the error, and is raised under ``python -W error``."""

DECODER_ERRORS: Final = (
    OSError,
    SyntaxError,  # Pillow raises it for a broken PNG
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    struct.error,
    zlib.error,
    RuntimeError,  # of libavif
    subprocess.SubprocessError,  # some of Pillow's decoders run a program
    *BOMB,
)
"""Types of the errors that Pillow raises for a file that it cannot read."""

SHRINK: Final = "shrink it, and its masks and record, if it has any, with it"
"""End of the message about an image with too many pixels."""

STRIP: Final = "if its masks are of the pixels as stored, remove that tag from the file"
"""End of the message about an image whose record has the size before EXIF rotation."""

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Operation that turns an image upright, by its EXIF orientation; other orientations need none."""

_SIDEWAYS: Final = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""


@dataclass(frozen=True)
class Download:
    """The content of an image file that was read at an address."""

    address: str
    """Address for messages: without passwords and tokens."""
    content: bytes

    def __str__(self) -> str:
        return self.address


ImageFile = Path | Download
"""An image file on the disk, or one that was downloaded."""


def read_rgb(
    file: ImageFile, *, height_px: int | None = None, width_px: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image file as RGB, turned upright by its EXIF orientation; transparency is dropped.

    Raises an ImageError if the file is missing, truncated, of another size, or has not 8 bits per
    colour.

    Parameters
    ----------
    file
        A file in one of ``readable_formats``; of an animation, the first frame is read.
    height_px, width_px
        Upright size in the image's record, which is the size of its masks; None accepts any size.

    Notes
    -----
    OpenCV, browsers and most annotation tools turn images as this function does; SAM2's own scripts
    and torchvision leave the pixels as stored.
    """
    with _opened(file) as image:
        _check(image, file, height_px, width_px)
        return upright_rgb(image)


def check_header(file: ImageFile, *, height_px: int, width_px: int) -> int:
    """Check the header of an image file as ``read_rgb`` does; a truncated file is not detected.

    Returns the EXIF orientation by which ``read_rgb`` turns the image; 1 if it does not.
    """
    with _opened(file) as image:
        _check(image, file, height_px, width_px)
        return _orientation(image)


def upright_size(path: Path) -> tuple[int, int]:
    """Upright height and width in pixels of an image, as ``read_rgb`` gives it, from its header."""
    with _opened(path) as image:
        check_mode(image, str(path))
        is_turned = _orientation(image) in _SIDEWAYS
        return (image.width, image.height) if is_turned else (image.height, image.width)


def is_confirmed(orientation: int, *, height_px: int, width_px: int) -> bool:
    """Whether the recorded size of an image proves that its masks were drawn on the upright image.

    The size of a square, mirrored or upside-down image proves nothing: it is the same when upright.
    """
    return orientation == 1 or (orientation in _SIDEWAYS and height_px != width_px)


@contextmanager
def _opened(file: ImageFile) -> Iterator[Image.Image]:
    """Open and yield an image file; Pillow's errors, here and in the block, are ``ImageError``."""
    if isinstance(file, Path) and is_special(file):
        raise ImageError(f"{file} must be a readable image, got: a pipe or a device")
    try:
        with open_image(file if isinstance(file, Path) else io.BytesIO(file.content)) as image:
            yield image
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{file} must be an image file, got no such file") from error
    except DECODER_ERRORS as error:
        raise ImageError(unreadable(file, "image", error)) from error


def open_image(file: Path | io.BytesIO) -> Image.Image:
    """Open a file in one of ``readable_formats`` as Pillow does: a file in another is no image."""
    return Image.open(file, formats=readable_formats())


def readable_formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that Pillow reads in this environment."""
    reads_heif()
    Image.init()  # registers the formats
    return tuple(name for name in FORMATS if name in Image.OPEN)


def unreadable(file: ImageFile, kind: str, error: Exception) -> str:
    """Message about a file that Pillow cannot read; ``error`` is one of ``DECODER_ERRORS``."""
    system_reason = error.strerror if isinstance(error, OSError) else None
    # Pillow names the file by its path, and a download by its place in memory.
    pattern = rf" {re.escape(repr(str(file)))}| <_io\.BytesIO .*>"
    reason = system_reason or re.sub(pattern, "", str(error))
    if isinstance(error, BOMB):
        return f"{file} must have fewer pixels, got: {reason.partition(',')[0]}; {SHRINK}"
    suffix = PurePosixPath(str(file)).suffix.lower()
    is_heif = suffix in {".heic", ".heif"} and not reads_heif()
    hint = "; run pip install pillow-heif, which reads this format" if is_heif else ""
    return f"{file} must be a readable {kind}, got: {reason}{hint}"


@cache
def reads_heif() -> bool:
    """Let Pillow read HEIC and HEIF files; False if it cannot, without the package pillow-heif."""
    try:
        heif = import_module("pillow_heif")
    except ModuleNotFoundError:
        return False
    heif.register_heif_opener()
    return True


def _orientation(image: Image.Image) -> int:
    """EXIF orientation by which an opened image must still be turned; 1 if it is upright.

    Damaged metadata give 1, and a TIFF file, since Pillow turns it itself. ``Image.getexif`` is not
    used: it decodes a whole PNG file, and it reads XMP, which OpenCV ignores.
    """
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(ExifTags.Base.Orientation, 1)
    except DECODER_ERRORS:  # the metadata are damaged, but the pixels may be whole
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _check(
    image: Image.Image, file: ImageFile, height_px: int | None, width_px: int | None
) -> None:
    stored, orientation = (image.height, image.width), _orientation(image)
    upright = stored[::-1] if orientation in _SIDEWAYS else stored
    recorded = (height_px or upright[0], width_px or upright[1])
    if recorded != upright:
        turned = f" upright, by its EXIF orientation {orientation}" if orientation > 1 else ""
        hint = f"; {STRIP}" if recorded == stored else ""
        raise ImageError(
            f"{file} must be {recorded[0]} px high and {recorded[1]} px wide as its record says, "
            f"got {upright[0]} x {upright[1]}{turned}{hint}"
        )
    check_mode(image, str(file))


def check_mode(image: Image.Image, name: str) -> None:
    """Raise an ImageError for an opened image of more than 8 bits per colour; pixels are not read.

    ``name`` begins the message. Pillow and OpenCV would silently keep the upper eight of 16 bits.
    That is right where the values fill their range; the values of a 12-bit sensor become black.
    """
    if image.mode not in READABLE_MODES:
        raise ImageError(
            f"{name} must have a mode with 8-bit colours ({', '.join(READABLE_MODES)}), "
            f"got {image.mode}: save it as one of these, with its values scaled to 0..255"
        )
    for tile in getattr(image, "tile", ()):
        # Pillow's name for the layout of the pixels in a file is its decoder's first argument.
        raw_mode = tile.args[0] if isinstance(tile.args, tuple) else tile.args
        if str(raw_mode).endswith(DEEP):
            raise ImageError(
                f"{name} must have 8 bits per colour, got 16: scale its values to 0..255"
            )


def upright_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of an opened image, upright by its EXIF orientation; transparency is dropped."""
    turn = _UPRIGHT.get(_orientation(image))
    # Pillow warns when a palette with transparency as bytes is converted to RGB, not to RGBA.
    opaque = image.convert("RGBA") if "transparency" in image.info else image
    rgb = opaque.convert("RGB")
    return np.array(rgb if turn is None else rgb.transpose(turn), np.uint8)


def decode_rgb(data: bytes, *, most_px: int, most_side_px: int) -> UInt8[np.ndarray, "h w 3"]:
    """Decode the bytes of an image file to upright RGB pixels, as ``read_rgb`` does for a path.

    Raises an ImageError if the image is not of ``readable_formats``, is too large or damaged, or
    has not 8 bits per colour.

    Parameters
    ----------
    most_px
        Largest number of pixels; a larger image is refused before it is decoded.
    most_side_px
        Largest height and width: a file of 95 kB, one pixel wide and 49 million high, takes 5 s to
        decode, and 150 GB to resize.
    """
    try:
        with open_image(io.BytesIO(data)) as image:
            _check_n_px(image, most_px, most_side_px)
            check_mode(image, "image")
            return upright_rgb(image)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        names = ", ".join(readable_formats())
        raise ImageError(f"image must be a file in one of the formats {names}, got none") from error
    except BOMB as error:
        raise ImageError(f"{_most(most_px)}, got many more") from error
    except DECODER_ERRORS as error:
        raise ImageError(f"image must be readable, got: {error}") from error


def _check_n_px(image: Image.Image, most_px: int, most_side_px: int) -> None:
    n_px, side_px = image.width * image.height, max(image.size)
    if n_px > most_px:
        raise ImageError(f"{_most(most_px)}, got {n_px / 1e6:.1f}")
    if side_px > most_side_px:
        raise ImageError(f"image must have sides of at most {most_side_px} px, got {side_px}")


def _most(most_px: int) -> str:
    return f"image must have at most {most_px / 1e6:g} megapixels"


def png_bytes(picture: Pixels | Image.Image, *, compress_level: int = 6, bits: int = 8) -> bytes:
    """Encode a picture as the bytes of a PNG file.

    ``compress_level`` is from 0 to 9: 6 is zlib's default, 1 takes a fraction of its time. ``bits``
    per pixel are of a palette picture; other pictures ignore it.
    """
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    png = io.BytesIO()
    image.save(png, "PNG", compress_level=compress_level, bits=bits)
    return png.getvalue()
