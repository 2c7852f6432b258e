"""Reading of images: what comes out of each mode, and how a file is refused."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from storage.errors import ImageError
from storage.images.files import read_rgb, sha256_file

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def _encoded(format_name: str, image: Image.Image | None = None) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(RGB)).save(buffer, format_name)
    return buffer.getvalue()


def _written(folder: Path, data: bytes, name: str = "image.png") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _read(path: Path) -> np.ndarray:
    return read_rgb(path, height_px=20, width_px=30)


@pytest.mark.parametrize("format_name", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_files_give_back_their_pixels(tmp_path: Path, format_name: str) -> None:
    data = _encoded(format_name)
    if format_name == "WEBP":
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, "WEBP", lossless=True)
        data = buffer.getvalue()

    np.testing.assert_array_equal(_read(_written(tmp_path, data)), RGB)


def test_a_gray_image_has_three_equal_channels(tmp_path: Path) -> None:
    gray = Image.fromarray(RGB[..., 0])

    rgb = _read(_written(tmp_path, _encoded("PNG", gray)))

    np.testing.assert_array_equal(rgb, np.repeat(RGB[..., :1], 3, axis=2))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(16)

    rgb = _read(_written(tmp_path, _encoded("PNG", palette)))

    np.testing.assert_array_equal(rgb, np.asarray(palette.convert("RGB")))


def test_a_palette_with_transparency_drops_it_without_a_warning(tmp_path: Path) -> None:
    palette = Image.fromarray(RGB).quantize(16)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", transparency=bytes(range(16)))

    rgb = _read(_written(tmp_path, buffer.getvalue()))

    np.testing.assert_array_equal(rgb, np.asarray(palette.convert("RGB")))


def test_transparency_is_dropped_and_not_blended(tmp_path: Path) -> None:
    see_through = Image.fromarray(np.dstack([RGB, RGB[..., 0]]), "RGBA")

    np.testing.assert_array_equal(_read(_written(tmp_path, _encoded("PNG", see_through))), RGB)


def test_print_colours_are_converted(tmp_path: Path) -> None:
    flat = Image.new("RGB", (30, 20), (200, 40, 90)).convert("CMYK")

    rgb = _read(_written(tmp_path, _encoded("JPEG", flat)))

    assert np.abs(rgb.astype(int) - [200, 40, 90]).max() < 8


def test_a_rotation_in_the_metadata_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG", exif=exif)

    np.testing.assert_array_equal(_read(_written(tmp_path, buffer.getvalue())), RGB)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_depth_that_would_be_cut_off_is_refused(
    tmp_path: Path, dtype: Callable[[np.ndarray], np.ndarray]
) -> None:
    deep = Image.fromarray(dtype(RGB[..., 0]))
    path = _written(tmp_path, _encoded("TIFF", deep))

    with pytest.raises(ImageError, match=r"image.png must have a mode with 8-bit .* got (I|F)"):
        _read(path)


def test_another_size_names_both(tmp_path: Path) -> None:
    path = _written(tmp_path, _encoded("PNG"))

    with pytest.raises(
        ImageError,
        match=r"image.png must be 30 px high and 20 px wide as its record says, got 20 x 30",
    ):
        read_rgb(path, height_px=30, width_px=20)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone.png must be an image file, got no such file"):
        _read(tmp_path / "gone.png")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="must be a readable image"):
        _read(tmp_path)


def test_text_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"image.png must be a readable image, got: cannot iden"):
        _read(_written(tmp_path, b"no image"))


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, format_name: str, share: float) -> None:
    data = _encoded(format_name)
    path = _written(tmp_path, data[: int(share * len(data))])

    with pytest.raises(ImageError, match=r"image.png must be a readable image, got: \S"):
        _read(path)


def test_a_broken_chunk_in_the_middle_of_a_png_is_refused(tmp_path: Path) -> None:
    # Large enough for two chunks of pixels: the second is only seen while decoding.
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    data = _encoded("PNG", Image.fromarray(noise))
    place = data.rindex(b"IDAT")
    path = _written(tmp_path, data[:place] + b"\0\0\0\0" + data[place + 4 :])

    with pytest.raises(ImageError, match=r"image.png must be a readable image, got: broken PNG"):
        read_rgb(path, height_px=200, width_px=200)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "TIFF", "GIF", "WEBP"])
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


def test_an_image_too_large_to_be_true_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _written(tmp_path, _encoded("PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    with pytest.raises(ImageError, match="must be a readable image, got: Image size"):
        _read(path)


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = _written(tmp_path, b"bytes")

    assert sha256_file(path) == hashlib.sha256(b"bytes").hexdigest()
