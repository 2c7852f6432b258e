"""Draws outlines of objects, in fractions of the scene's side.

To draw is to choose at random; ``rasterise`` alone makes pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Ring = Float[np.ndarray, "corner 2"]

_SUBPIXEL_BITS: Final = 4
"""Binary digits of a corner's fraction of a pixel: corners lie on sixteenths."""


@dataclass(frozen=True)
class Outline:
    """A filled shape, which has the points inside of an odd number of its rings (closed lines).

    A second ring bounds a hole. Corners (x, y) are in fractions of the scene's side.
    """

    kind: str
    rings: tuple[Ring, ...]


def draw_outline(
    generator: np.random.Generator, kind: str, *, centre: tuple[float, float], radius: float
) -> Outline:
    """Draw a shape of one kind of ``OUTLINES`` with random proportions and angle.

    ``centre`` and ``radius`` give a circle around it, in fractions of the scene's side.
    """
    angle = generator.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    rings = OUTLINES[kind](generator)
    return Outline(kind, tuple(np.asarray(centre) + radius * ring @ turn for ring in rings))


def rasterise(outline: Outline, size_px: int) -> UInt8[np.ndarray, "h w"]:
    """Pixels of an outline in a square scene of ``size_px``: 1 inside the shape, 0 outside."""
    scale = 2**_SUBPIXEL_BITS
    corners = [np.rint((size_px * ring - 0.5) * scale).astype(np.int32) for ring in outline.rings]
    canvas = np.zeros((size_px, size_px), np.uint8)
    cv2.fillPoly(canvas, corners, (1,), shift=_SUBPIXEL_BITS)
    return canvas


def _circle(n_corners: int = 64) -> Ring:
    angle = np.linspace(0, 2 * np.pi, n_corners, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _rectangle(aspect: float) -> Ring:
    half = np.array([1, aspect]) / np.hypot(1, aspect)
    corners: Ring = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return corners


def _ellipse(generator: np.random.Generator) -> tuple[Ring, ...]:
    return (_circle() * np.array([1, generator.uniform(0.45, 1)]),)


def _polygon(generator: np.random.Generator) -> tuple[Ring, ...]:
    n_corners = int(generator.integers(3, 8))
    jitter, radius = generator.uniform(size=(2, n_corners))
    angle = 2 * np.pi * (np.arange(n_corners) + 0.6 * jitter) / n_corners
    spokes = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return ((0.7 + 0.3 * radius[:, None]) * spokes,)


def _star(generator: np.random.Generator) -> tuple[Ring, ...]:
    corners = _circle(2 * int(generator.integers(4, 9)))
    corners[1::2] *= generator.uniform(0.35, 0.65)
    return (corners,)


def _ring(generator: np.random.Generator) -> tuple[Ring, ...]:
    outer = _circle() * np.array([1, generator.uniform(0.6, 1)])
    return outer, generator.uniform(0.5, 0.8) * outer


def _box(generator: np.random.Generator) -> tuple[Ring, ...]:
    return (_rectangle(generator.uniform(0.35, 1)),)


def _frame(generator: np.random.Generator) -> tuple[Ring, ...]:
    outer = _rectangle(generator.uniform(0.5, 1))
    return outer, generator.uniform(0.5, 0.8) * outer


def _bar(generator: np.random.Generator) -> tuple[Ring, ...]:
    return (_rectangle(generator.uniform(0.06, 0.18)),)


def _blob(generator: np.random.Generator) -> tuple[Ring, ...]:
    wave = np.arange(2, 5)[:, None]
    phase, height = generator.uniform(size=(2, 3, 1))
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    bumps = (0.5 * height / wave * np.cos(wave * angle + 2 * np.pi * phase)).sum(axis=0)
    return ((1 + bumps)[:, None] / (1 + np.abs(bumps).max()) * _circle(),)


def _crescent(generator: np.random.Generator) -> tuple[Ring, ...]:
    outer = _circle(64)[:49]
    bite = generator.uniform(0.3, 0.7)
    # The inner arc runs back from one horn to the other, inside the circle.
    inner = outer[::-1] * bite + (1 - bite) * outer[[0, -1]].mean(axis=0)
    return (np.concatenate([outer, inner[1:-1]]),)


OUTLINES: Final[Mapping[str, Callable[[np.random.Generator], tuple[Ring, ...]]]] = {
    "ellipse": _ellipse,
    "polygon": _polygon,
    "star": _star,
    "ring": _ring,
    "box": _box,
    "frame": _frame,
    "bar": _bar,
    "blob": _blob,
    "crescent": _crescent,
}
"""For each kind of shape, a function that draws its rings within the unit circle."""
