"""Views: an image under one augmentation, and the way into the view and back out of it."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, Num, UInt8
from torch import Tensor

from pipeline.vocabulary import VIEWS

NOISE_VARIANCE: Final = 5000.0
"""Of ``gnoise``, on the scale 0..255."""

Rgb = UInt8[np.ndarray, "height width 3"]


def check_view(view: str) -> None:
    """Refuse a view that does not exist.

    Raises
    ------
    ValueError
        Naming the known ones.
    """
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")


def apply_view(rgb: Rgb, view: str, *, noise_seed: int) -> UInt8[np.ndarray, "rows cols 3"]:
    """Augment an image; ``noise_seed`` serves ``gnoise`` alone.

    Raises
    ------
    ValueError
        If the view is unknown.
    """
    check_view(view)
    return _AUGMENT[view](rgb, noise_seed)


def map_points(
    points: Num[np.ndarray, "*batch 2"], view: str, *, height_px: int, width_px: int
) -> Float[np.ndarray, "*batch 2"]:
    """Map pixels (x, y) of the image to the same pixels in the view.

    Notes
    -----
    A pixel's centre lies at +0.5, so twice the size moves x to 2 x + 0.5.
    """
    check_view(view)
    mapped = points.astype(np.float32)
    match view:
        case "vflip":
            mapped[..., 1] = height_px - 1 - mapped[..., 1]
        case "hflip":
            mapped[..., 0] = width_px - 1 - mapped[..., 0]
        case "scale2":
            mapped = 2 * mapped + np.float32(0.5)
    return mapped


def unview(maps: Num[Tensor, "*batch y x"], view: str) -> Num[Tensor, "*batch y x"]:
    """Map what was predicted in the view back to the unaugmented frame.

    A map covers the whole view whatever its own size, so only flips have anything to undo.
    """
    check_view(view)
    match view:
        case "vflip":
            return maps.flip(-2)
        case "hflip":
            return maps.flip(-1)
    return maps


def _jpeg(rgb: Rgb, quality: int) -> Rgb:
    # OpenCV takes BGR; luma would be weighted wrongly in any other order.
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None  # we have just encoded it
    return np.array(decoded[..., ::-1], dtype=np.uint8, order="C")


def _gray(rgb: Rgb) -> Rgb:
    luma = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.repeat(luma[..., None], 3, axis=2)


def _noise(rgb: Rgb, seed: int) -> Rgb:
    noise = np.random.default_rng(seed).standard_normal(rgb.shape, dtype=np.float32)
    noisy = rgb + np.float32(NOISE_VARIANCE**0.5) * noise
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)


_AUGMENT: Final[dict[str, Callable[[Rgb, int], Rgb]]] = {
    "identity": lambda rgb, _: rgb,
    "vflip": lambda rgb, _: np.ascontiguousarray(rgb[::-1]),
    "hflip": lambda rgb, _: np.ascontiguousarray(rgb[:, ::-1]),
    "jpeg10": lambda rgb, _: _jpeg(rgb, 10),
    "jpeg30": lambda rgb, _: _jpeg(rgb, 30),
    # Sigma 0: OpenCV's own for the kernel, 1.1.
    "gblur5": lambda rgb, _: np.asarray(cv2.GaussianBlur(rgb, (5, 5), 0), np.uint8),
    "gnoise": _noise,
    "scale2": lambda rgb, _: np.asarray(cv2.resize(rgb, None, fx=2, fy=2), np.uint8),
    "gray": lambda rgb, _: _gray(rgb),
}
