"""Reading of images, from files or from bytes: what comes out, and how one is refused."""

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from zlib import crc32

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, ExifTags, Image, ImageFile

from pipeline.vocabulary import MAX_PIXELS
from storage.datasets import frame_folders, mask_folders
from storage.errors import DataError, ImageError
from storage.images.image_files import (
    check_header,
    decode_rgb,
    is_confirmed,
    read_rgb,
    readable_formats,
    reads_heif,
)
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.pipes import pipe_at

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)

LOSSLESS: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 98},
    "WEBP": {"lossless": True},
}
"""How a format is saved with the least loss."""


def _encoded(format_name: str = "PNG", image: Image.Image | None = None, **options: Any) -> bytes:  # noqa: ANN401 - of Pillow
    buffer = io.BytesIO()
    options = LOSSLESS.get(format_name, {}) | options
    (image or Image.fromarray(RGB)).save(buffer, format_name, **options)
    return buffer.getvalue()


def _written(folder: Path, data: bytes, name: str = "image.png") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _read(path: Path) -> np.ndarray:
    return read_rgb(path, height_px=20, width_px=30)


@pytest.mark.parametrize("format_name", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_files_give_back_their_pixels(tmp_path: Path, format_name: str) -> None:
    np.testing.assert_array_equal(_read(_written(tmp_path, _encoded(format_name))), RGB)


PALETTE = Image.fromarray(RGB).quantize(16)
MODES: dict[str, tuple[Image.Image, dict[str, Any], np.ndarray]] = {
    "gray": (Image.fromarray(RGB[..., 0]), {}, np.repeat(RGB[..., :1], 3, axis=2)),
    "palette": (PALETTE, {}, np.asarray(PALETTE.convert("RGB"))),
    "palette with transparency": (
        PALETTE,
        {"transparency": bytes(range(16))},
        np.asarray(PALETTE.convert("RGB")),
    ),
    "transparency": (Image.fromarray(np.dstack([RGB, RGB[..., 0]]), "RGBA"), {}, RGB),
}
"""Images, how they are saved, and the pixels that they have; transparency is not blended."""


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_any_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    image, options, pixels = MODES[mode]
    path = _written(tmp_path, _encoded("PNG", image, **options))
    np.testing.assert_array_equal(_read(path), pixels)


def _oriented(orientation: object, format_name: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return _encoded(format_name, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_an_image_is_turned_upright_as_by_opencv(
    tmp_path: Path, format_name: str, orientation: int
) -> None:
    path = _written(tmp_path, _oriented(orientation, format_name))
    expected = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))
    height, width = expected.shape[:2]
    rgb = read_rgb(path, height_px=height, width_px=width)

    assert (height, width) == ((30, 20) if orientation > 4 else (20, 30))
    assert np.abs(rgb.astype(int) - expected).max() <= (8 if format_name == "JPEG" else 0)
    assert check_header(path, height_px=height, width_px=width) == orientation


def test_a_record_of_the_size_before_turning_is_refused_by_name(tmp_path: Path) -> None:
    path = _written(tmp_path, _oriented(6, "JPEG"))

    for refusing in (read_rgb, check_header):
        with pytest.raises(
            ImageError,
            match=r"image.png must be 20 px high and 30 px wide as its record says, got 30 x 20 "
            "upright, by its EXIF orientation 6; if its masks are of the pixels as stored, remove",
        ):
            refusing(path, height_px=20, width_px=30)
    with Image.open(path) as image:
        stored, exif = np.asarray(image), image.getexif()
        del exif[ExifTags.Base.Orientation]
        image.save(path, quality="keep", exif=exif)  # as the message says
    assert check_header(path, height_px=20, width_px=30) == 1
    np.testing.assert_array_equal(_read(path), stored)


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0", b"no tiff at all"])
def test_damaged_metadata_turn_nothing(tmp_path: Path, exif: bytes) -> None:
    np.testing.assert_array_equal(_read(_written(tmp_path, _encoded(exif=exif))), RGB)


@pytest.mark.parametrize(
    ("orientation", "height_px", "width_px", "confirmed"),
    [(1, 9, 9, True), (3, 8, 9, False), (2, 8, 9, False), (6, 8, 9, True), (6, 9, 9, False)],
)
def test_a_size_confirms_the_orientations_that_swap_its_sides(
    orientation: int, height_px: int, width_px: int, confirmed: bool
) -> None:
    assert is_confirmed(orientation, height_px=height_px, width_px=width_px) is confirmed


def _deep(suffix: str, n_channels: int = 3) -> bytes:
    """A file of 16 bits per colour, as OpenCV writes it."""
    scaled = np.dstack([RGB, RGB[..., 0]])[..., :n_channels].astype(np.uint16) * 257
    is_written, data = cv2.imencode(suffix, scaled)
    assert is_written
    return bytes(data)


def _cut(format_name: str) -> bytes:
    data = _encoded(format_name)
    return data[: 6 * len(data) // 10]


def _gray(dtype: type[np.number]) -> bytes:
    return _encoded("TIFF", Image.fromarray(RGB[..., 0].astype(dtype)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "be a readable image, got: cannot iden"),
        (_cut("PNG"), r"be a readable image, got: \S"),
        (_cut("JPEG"), r"be a readable image, got: \S"),
        *((_gray(dtype), "have a mode with 8-bit ") for dtype in (np.uint16, np.int32, np.float32)),
        *((_deep(".png", n), "have 8 bits per colour, got 16: scale") for n in (3, 4)),
        *((_deep(".tiff", n), "have 8 bits per colour, got 16: scale") for n in (3, 4)),
    ],
    ids=[
        *("empty", "cut PNG", "cut JPEG", "uint16", "int32", "float32"),
        *("PNG RGB", "PNG RGBA", "TIFF RGB", "TIFF RGBA"),
    ],
)
def test_a_file_that_is_no_image_of_8_bits_is_refused(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(ImageError, match=rf"image.png must {message}"):
        _read(_written(tmp_path, data))


def test_a_broken_chunk_in_the_middle_of_a_png_is_refused(tmp_path: Path) -> None:
    # Large enough for two chunks of pixels: the second is only seen while decoding.
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    data = _encoded("PNG", Image.fromarray(noise))
    place = data.rindex(b"IDAT")
    path = _written(tmp_path, data[:place] + b"\0\0\0\0" + data[place + 4 :])
    with pytest.raises(ImageError, match=r"image.png must be a readable image, got: broken PNG"):
        read_rgb(path, height_px=200, width_px=200)


@pytest.mark.no_cover
@pytest.mark.parametrize("format_name", readable_formats())
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # damaged metadata of TIFF
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_a_damaged_file_gives_an_image_or_an_image_error(
    tmp_path: Path, format_name: str, data: st.DataObject
) -> None:
    content = bytearray(_encoded(format_name))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[place] ^= data.draw(st.integers(1, 255))
    path = _written(tmp_path, bytes(content))

    try:
        rgb = _read(path)
    except ImageError:
        return
    assert rgb.shape == (20, 30, 3)


def _png_header(width: int, height: int) -> bytes:
    """The beginning of a file that claims a size; its pixels would take longer to write."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 999) + b"IDAT"


@pytest.mark.parametrize("refusing", [read_rgb, check_header])
def test_an_image_of_too_many_pixels_is_refused_with_what_to_do(
    tmp_path: Path, refusing: Callable[..., object]
) -> None:
    path = _written(tmp_path, _png_header(20_000, 12_000))
    with pytest.raises(
        ImageError,
        match=r"image.png must have fewer pixels, got: Image size \(240000000 pixels\) exceeds "
        rf"limit of {MAX_PIXELS} pixels; shrink it, and its masks and record, if it has any, with "
        "it$",
    ):
        refusing(path, height_px=12_000, width_px=20_000)


@pytest.mark.parametrize("format_name", readable_formats())
def test_bytes_have_the_pixels_of_a_file(tmp_path: Path, format_name: str) -> None:
    data = _encoded(format_name)
    found = decode_rgb(data, most_px=600, most_side_px=30)
    np.testing.assert_array_equal(found, _read(_written(tmp_path, data)))
    with pytest.raises(ImageError, match=r"at most 0\.000599 megapixels, got 0\.0"):
        decode_rgb(data, most_px=599, most_side_px=30)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "one of the formats JPEG, PNG, WEBP, GIF, BMP, TIFF, PPM, .*, got none"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 20\n", "one of the formats"),
        (_encoded()[:-300], "image must be readable, got: "),
        (_encoded(image=Image.new("I;16", (4, 4))), "8-bit colours .*, got I;16: save it as one"),
        (_png_header(10_000, 6_000), "at most 50 megapixels, got 60.0"),
        (_png_header(10_000, 10_000), "at most 50 megapixels, got many more"),
        (_png_header(16_384, 1), "readable"),
        (_png_header(1, 16_385), "sides of at most 16384 px, got 16385$"),
    ],
    ids=["empty", "postscript", "cut", "gray 16", "large", "bomb", "long", "high"],
)
def test_bytes_are_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words) as refused:
        decode_rgb(data, most_px=50_000_000, most_side_px=16_384)
    assert "object at 0x" not in str(refused.value)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone.png must be an image file, got no such file"):
        _read(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="must be a readable image"):
        _read(tmp_path)
    pipe = tmp_path / "pipe.png"
    with pipe_at(pipe), pytest.raises(ImageError, match=r"pipe.png .*, got: a pipe or a device$"):
        _read(pipe)


READERS: Final = {
    "image": read_rgb,
    "upload": lambda path: decode_rgb(path.read_bytes(), most_px=10**6, most_side_px=10**4),
    "mask": lambda path: mask_folders._pixels(path, "masks"),
    "ids": lambda path: frame_folders.read_indices(path, "ids", ("L", "RGB")),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_program_in_postscript_is_not_run_whatever_its_file_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    ran, ghostscript = tmp_path / "ran", tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    ghostscript.chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(ghostscript))
    path = _written(tmp_path, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 20\n%%EndComments\n")
    with pytest.raises((ImageError, DataError), match=r"cannot identify|one of the formats"):
        read(path)
    assert not ran.exists()


class _RawPixels(ImageFile.ImageFile):
    """Pixels behind eight bytes, as a stand-in for HEIC."""

    format = "HEIF"

    def _open(self) -> None:
        self._size, self._mode = (30, 20), "RGB"
        self.tile = [ImageFile._Tile("raw", (0, 0, 30, 20), 8, ("RGB", 0, 1))]


def test_heic_opens_where_pillow_heif_is_installed_and_names_it_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"ftypheic" + RGB.tobytes()
    path = _written(tmp_path, data, "photo.heic")
    reads_heif.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"readable image, got: .*; run pip install pillow-heif,"):
        _read(path)
    monkeypatch.setattr(Image, "ID", [*Image.ID])
    monkeypatch.setattr(Image, "OPEN", {**Image.OPEN})
    register = partial(Image.register_open, "HEIF", _RawPixels, lambda start: start[:4] == b"ftyp")
    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=register))
    reads_heif.cache_clear()
    np.testing.assert_array_equal(_read(path), RGB)
    np.testing.assert_array_equal(decode_rgb(data, most_px=10**6, most_side_px=10**4), RGB)
    reads_heif.cache_clear()


WRITE_HEIC: Final = """
import pillow_heif
from PIL import Image
pillow_heif.register_heif_opener()
Image.open("photo.png").save("photo.heic")
Image.open("photo.heic").convert("RGB").save("as_written.png")
"""

READ_HEIC: Final = """
from pathlib import Path
from PIL import Image
from storage.images.image_files import read_rgb
Image.fromarray(read_rgb(Path("photo.heic"))).save("as_read.png")
"""


@pytest.mark.slow
def test_the_package_that_the_message_names_reads_a_real_heic_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, python = tmp_path / "installed", sys.executable
    package = "pillow-heif"
    pip = [python, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), package]
    installed = subprocess.run(pip, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"{package} cannot be installed: {installed.stderr[-300:]}")
    Image.fromarray(RGB).save(tmp_path / "photo.png")
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    subprocess.run([python, "-c", WRITE_HEIC], cwd=tmp_path, env=environment, check=True)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    reads_heif.cache_clear()
    with pytest.raises(ImageError, match=f"run pip install {package}, which reads this format"):
        _read(tmp_path / "photo.heic")
    reads_heif.cache_clear()
    subprocess.run([python, "-c", READ_HEIC], cwd=tmp_path, env=environment, check=True)
    as_read, as_written = (_read(tmp_path / f"{name}.png") for name in ("as_read", "as_written"))
    np.testing.assert_array_equal(as_read, as_written)
