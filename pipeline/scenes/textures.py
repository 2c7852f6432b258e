"""Draws and paints textures: two colours, and a pattern that blends them.

To draw is to choose at random; to paint is to compute the colours of points.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, Float32

Weight = Float32[np.ndarray, "h w"]

Places = Float32[np.ndarray, "#h #w"]
"""The x or the y coordinate of points in the unit square; x and y broadcast against each other."""

_GRAIN_CELLS: Final = 24
"""Number of random values along the side of a ``grain`` texture."""

_DISTINCT: Final = 0.6
"""Share of textures on a surface that do not depend on the surface."""

_LOW_CONTRAST: Final = 0.22
"""Share of textures on a surface that nearly have its colours. The rest also repeat its pattern."""


@dataclass(frozen=True)
class Texture:
    """Two colours and the pattern that blends them."""

    kind: str
    """Name of the pattern: a key of ``PATTERNS``."""
    colors: Float[np.ndarray, "2 3"]
    """RGB in 0..1."""
    angle: float
    """Direction of the pattern, in radians."""
    period: float
    """Length of a wave of the pattern, as a fraction of the scene's side."""
    phase: float
    """Shift of the waves, as a fraction of a period."""
    grain: Float32[np.ndarray, "cell cell"]
    """Weights of the second colour at the cells of the pattern ``grain``, in 0..1."""


def draw_texture(generator: np.random.Generator) -> Texture:
    """Draw a texture of random kind and colours."""
    kind = str(generator.choice(list(PATTERNS)))
    first = generator.uniform(0.05, 0.95, 3)
    # Mostly close to the first colour: an object of two very different colours has no outline.
    second = np.clip(first + generator.normal(0, 0.16, 3), 0, 1)
    return Texture(
        kind=kind,
        colors=np.stack([first, second]),
        angle=generator.uniform(0, 2 * np.pi),
        period=float(np.exp(generator.uniform(np.log(0.03), np.log(0.2)))),
        phase=generator.uniform(),
        grain=generator.random((_GRAIN_CELLS, _GRAIN_CELLS), np.float32),
    )


def draw_texture_on(generator: np.random.Generator, ground: Texture) -> Texture:
    """Draw the texture of a surface on ``ground``: distinct, of low contrast, or camouflaged.

    A camouflaged surface has nearly the colours of ``ground``, and its pattern.
    """
    fresh = draw_texture(generator)
    shift = generator.normal(size=3)
    shift /= np.linalg.norm(shift)
    difficulty = generator.uniform()
    contrast = generator.uniform()
    if difficulty < _DISTINCT:
        return fresh
    if difficulty < _DISTINCT + _LOW_CONTRAST:
        colors = ground.colors.mean(axis=0) + (0.1 + 0.12 * contrast) * shift
        return replace(fresh, colors=np.clip(colors + 0.3 * (fresh.colors - fresh.colors[0]), 0, 1))
    return replace(
        ground,
        colors=np.clip(ground.colors + (0.04 + 0.06 * contrast) * shift, 0, 1),
        angle=ground.angle + generator.uniform(0.3, 1.3),
        period=ground.period * generator.uniform(0.5, 0.8),
        grain=fresh.grain,
    )


def paint(
    texture: Texture, x: Float32[np.ndarray, "1 w"], y: Float32[np.ndarray, "h 1"]
) -> Float32[np.ndarray, "h w 3"]:
    """Colours at the points (x, y) of the unit square, RGB in 0..1."""
    first, second = texture.colors.astype(np.float32)
    weight: Weight = PATTERNS[texture.kind](texture, x, y)
    colors: Float32[np.ndarray, "h w 3"] = first + weight[..., None] * (second - first)
    return colors


def _along(texture: Texture, x: Places, y: Places, turn: float = 0.0) -> Weight:
    """Coordinate of each point along the texture's direction, turned by ``turn`` radians.

    In fractions of the scene's side.
    """
    angle = texture.angle + turn
    along: Weight = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    return along


def _waves(texture: Texture, x: Places, y: Places, turn: float = 0.0) -> Weight:
    cycles = _along(texture, x, y, turn) / np.float32(texture.period) + np.float32(texture.phase)
    waves: Weight = np.sin(np.float32(2 * np.pi) * cycles)
    return waves


def _gradient(texture: Texture, x: Places, y: Places) -> Weight:
    return np.float32(0.5) + np.float32(0.7) * _along(texture, x - 0.5, y - 0.5)


def _stripes(texture: Texture, x: Places, y: Places) -> Weight:
    # Steep sines: stripes with a soft edge of some pixels.
    return _saturated(0.5 + 1.5 * _waves(texture, x, y))


def _checker(texture: Texture, x: Places, y: Places) -> Weight:
    return _saturated(0.5 + 3 * _waves(texture, x, y) * _waves(texture, x, y, np.pi / 2))


def _spots(texture: Texture, x: Places, y: Places) -> Weight:
    return _saturated(2 * (_waves(texture, x, y) + _waves(texture, x, y, np.pi / 2)) - 1)


def _saturated(weight: Weight) -> Weight:
    within: Weight = np.clip(weight, 0, 1)
    return within


def _grain(texture: Texture, x: Places, y: Places) -> Weight:
    # Bilinear between the cells at (x, y): the same field at any size of the scene.
    at_x, at_y = np.broadcast_arrays(*(_GRAIN_CELLS * v - np.float32(0.5) for v in (x, y)))
    return cv2.remap(
        texture.grain,
        np.ascontiguousarray(at_x),
        np.ascontiguousarray(at_y),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    ).astype(np.float32)


PATTERNS: Final[Mapping[str, Callable[[Texture, Places, Places], Weight]]] = {
    "gradient": _gradient,
    "stripes": _stripes,
    "checker": _checker,
    "spots": _spots,
    "grain": _grain,
}
"""For each kind of texture, a function that returns the weight of the second colour."""
