"""Images that somebody sends: the pixels of a file on disk, and refusals in words."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from storage.errors import ImageError
from storage.images.files import FORMATS, decode_rgb, read_rgb

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def encoded(kind: str = "PNG", image: Image.Image | None = None, **options: object) -> bytes:
    data = io.BytesIO()
    (image or Image.fromarray(RGB)).save(data, kind, **options)
    return data.getvalue()


def sideways(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded("JPEG", exif=exif)


def header_of(width: int, height: int) -> bytes:
    """A PNG file that says how large it is and then ends."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(body))
    pixels = struct.pack(">I", 100) + b"IDAT"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + checksum + pixels


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_sent_has_the_pixels_of_one_on_disk(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(encoded(kind))
    np.testing.assert_array_equal(
        decode_rgb(path.read_bytes(), most_px=600), read_rgb(path, height_px=20, width_px=30)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_upright_as_one_on_disk(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(sideways(orientation))
    found = decode_rgb(path.read_bytes(), most_px=600)
    assert found.shape == ((30, 20, 3) if orientation >= 5 else (20, 30, 3))
    np.testing.assert_array_equal(found, read_rgb(path))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "one of the formats JPEG, PNG, WEBP, GIF, BMP, TIFF, got none"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "one of the formats .*, got none"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 20\n", "one of the formats"),
        (encoded()[:-300], "image must be readable, got: "),
        (encoded(image=Image.new("I;16", (4, 4))), "8-bit colours .*, got I;16"),
        (header_of(10_000, 6_000), "at most 50 megapixels, got 60.0"),
        (header_of(10_000, 10_000), "at most 50 megapixels, got many more"),
        (header_of(60_000, 60_000), "at most 50 megapixels, got many more"),
    ],
    ids=["empty", "drawing", "postscript", "cut", "deep", "large", "suspect", "bomb"],
)
def test_it_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words) as refused:
        decode_rgb(data, most_px=50_000_000)
    assert "object at 0x" not in str(refused.value)
