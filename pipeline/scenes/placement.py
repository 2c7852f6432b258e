"""Draws the layout of a scene, its objects and their overlaps, before any pixel is painted.

To draw is to choose at random; nothing is painted here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline.scenes.outlines import OUTLINES, Outline, draw_outline
from pipeline.scenes.textures import Texture, draw_texture, draw_texture_on

MIN_OBJECTS: Final = 4
MAX_OBJECTS: Final = 9

CATEGORIES: Final = (*OUTLINES, "part", "pair")
"""Categories of objects: a kind of shape, a part of another object, or a pair of objects."""

_BODIES: Final = ("ellipse", "polygon", "box", "blob", "star")
"""Shapes with room for parts."""


@dataclass(frozen=True)
class Layer:
    """One painted surface: an outline filled with a texture."""

    outline: Outline
    texture: Texture
    clip_to: int | None = None
    """Index of the layer whose shape clips this layer; None if no layer clips it."""


@dataclass(frozen=True)
class Item:
    """One annotated object: the visible pixels of its layers, given by index."""

    category: str
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Plan of a drawn scene: its ground, layers from the lowest to the topmost, and its objects."""

    ground: Texture
    layers: tuple[Layer, ...]
    items: tuple[Item, ...]


@dataclass(frozen=True)
class _Spot:
    """Circle for a cluster of layers, in fractions of the scene's side."""

    centre: tuple[float, float]
    radius: float

    def towards(self, angle: float, distance: float, radius: float) -> "_Spot":
        """A circle ``radius`` times as large as this one, ``distance`` of its radii away."""
        x, y = self.centre
        step = distance * self.radius
        return _Spot((x + step * np.cos(angle), y + step * np.sin(angle)), radius * self.radius)


_Cluster = tuple[list[Layer], list[Item]]
_Generator = np.random.Generator


def arrange(generator: np.random.Generator) -> Layout:
    """Draw a layout of more than ``MIN_OBJECTS``, at most ``MAX_OBJECTS`` objects.

    Upper layers may hide some of the objects.
    """
    ground = draw_texture(generator)
    n_objects = int(generator.integers(MIN_OBJECTS + 1, MAX_OBJECTS + 1))
    spots: list[_Spot] = []
    clusters: list[_Cluster] = []
    while (n_left := n_objects - sum(len(items) for _, items in clusters)) > 0:
        draw = _draw_cluster_kind(generator, n_left)
        spots.append(_draw_spot(generator, spots))
        clusters.append(draw(generator, spots[-1], ground))
    for _ in range(int(generator.integers(0, 3))):
        spots.append(_draw_spot(generator, spots))
        clusters.append(_clutter(generator, spots[-1], ground))
    # Large clusters mostly lie below small clusters, so that they do not hide these.
    height = [spot.radius * generator.uniform(0.5, 2) for spot in spots]
    return _stack(ground, [clusters[k] for k in np.argsort(height)[::-1]])


def _draw_cluster_kind(
    generator: _Generator, n_left: int
) -> Callable[[_Generator, _Spot, Texture], _Cluster]:
    names = [name for name, (_, n_most, _) in _CLUSTERS.items() if n_most <= n_left]
    weights = np.array([_CLUSTERS[name][2] for name in names])
    return _CLUSTERS[str(generator.choice(names, p=weights / weights.sum()))][0]


def _draw_spot(generator: _Generator, earlier: list[_Spot]) -> _Spot:
    """Draw a radius and three centres, and take the centre that is furthest from earlier circles.

    The distance is to the edge of the nearest earlier circle, negative inside of it. So objects
    overlap, but do not pile up.
    """
    radius = float(np.exp(generator.uniform(np.log(0.03), np.log(0.4))))
    centres = generator.uniform(0.1, 0.9, (3, 2))
    room = [
        min((np.hypot(*(c - spot.centre)) - spot.radius for spot in earlier), default=0.0)
        for c in centres
    ]
    x, y = centres[int(np.argmax(room))]
    return _Spot((float(x), float(y)), radius)


def _single(generator: _Generator, spot: _Spot, ground: Texture) -> _Cluster:
    layer = _layer(generator, tuple(OUTLINES), spot, draw_texture_on(generator, ground))
    return [layer], [Item(layer.outline.kind, (0,))]


def _nested(generator: _Generator, spot: _Spot, ground: Texture) -> _Cluster:
    """Draw two or three objects: a body, and one or two parts on it."""
    body = _layer(generator, _BODIES, _widened(spot), draw_texture_on(generator, ground))
    layers = [body]
    first_angle = generator.uniform(0, 2 * np.pi)
    for k in range(int(generator.integers(1, 3))):
        inner = _widened(spot).towards(
            first_angle + k * np.pi, generator.uniform(0.3, 0.5), generator.uniform(0.25, 0.45)
        )
        texture = draw_texture_on(generator, body.texture)
        layers.append(replace(_layer(generator, _BODIES, inner, texture), clip_to=0))
    return layers, _with_parts(layers)


def _halves(generator: _Generator, spot: _Spot, ground: Texture) -> _Cluster:
    """Draw two objects: a body, and a part that covers one side of it."""
    body = _layer(generator, _BODIES, _widened(spot), draw_texture_on(generator, ground))
    angle = generator.uniform(0, 2 * np.pi)
    # A circle so large that its edge crosses the body as a gentle arc.
    side = _widened(spot).towards(angle, generator.uniform(2.8, 3.2), 3.0)
    outline = draw_outline(generator, "ellipse", centre=side.centre, radius=side.radius)
    layers = [body, Layer(outline, draw_texture_on(generator, body.texture), clip_to=0)]
    return layers, _with_parts(layers)


def _pair(generator: _Generator, spot: _Spot, ground: Texture) -> _Cluster:
    """Draw two objects that touch; together they are a third object."""
    texture = draw_texture_on(generator, ground)
    angle = generator.uniform(0, 2 * np.pi)
    second = texture if generator.integers(2) else draw_texture_on(generator, texture)
    wide = _widened(spot)
    layers = [
        _layer(generator, _BODIES, wide.towards(angle, 0.5, 0.62), texture),
        _layer(generator, _BODIES, wide.towards(angle + np.pi, 0.45, 0.55), second),
    ]
    items = [Item(layer.outline.kind, (k,)) for k, layer in enumerate(layers)]
    return layers, [Item("pair", (0, 1)), *items]


def _nested_pair(generator: _Generator, spot: _Spot, ground: Texture) -> _Cluster:
    """Draw four objects: a pair, its two objects, and a part of the second object.

    A click on the part may mean three of them.
    """
    layers, items = _pair(generator, spot, ground)
    x, y = layers[1].outline.rings[0].mean(axis=0)
    inner = _Spot((float(x), float(y)), generator.uniform(0.2, 0.3) * _widened(spot).radius)
    texture = draw_texture_on(generator, layers[1].texture)
    layers.append(replace(_layer(generator, _BODIES, inner, texture), clip_to=1))
    pair, first, second = items
    second = replace(second, layers=(1, 2))
    return layers, [replace(pair, layers=(0, 1, 2)), first, second, Item("part", (2,))]


def _clutter(generator: _Generator, spot: _Spot, ground: Texture) -> _Cluster:
    """Draw a shape at random that is no object: a cluster of one layer, without items."""
    return [_layer(generator, ("bar", "crescent"), spot, draw_texture_on(generator, ground))], []


_CLUSTERS: Final = {
    "single": (_single, 1, 0.4),
    "nested": (_nested, 3, 0.25),
    "halves": (_halves, 2, 0.1),
    "pair": (_pair, 3, 0.15),
    "nested_pair": (_nested_pair, 4, 0.1),
}
"""For each kind of cluster, the function that draws it, the largest number of its objects, and its
share of all clusters."""


def _widened(spot: _Spot) -> _Spot:
    """Enlarge the circle of a cluster of several objects, so that its parts are not too small."""
    return _Spot(spot.centre, 0.08 + 0.85 * spot.radius)


def _layer(generator: _Generator, kinds: tuple[str, ...], spot: _Spot, texture: Texture) -> Layer:
    kind = str(generator.choice(kinds))
    outline = draw_outline(generator, kind, centre=spot.centre, radius=spot.radius)
    return Layer(outline, texture)


def _with_parts(layers: list[Layer]) -> list[Item]:
    """Annotated objects of a shape (the first layer) with parts: the whole, and each part."""
    body = Item(layers[0].outline.kind, tuple(range(len(layers))))
    return [body, *(Item("part", (k,)) for k in range(1, len(layers)))]


def _stack(ground: Texture, clusters: list[_Cluster]) -> Layout:
    layers: list[Layer] = []
    items: list[Item] = []
    for its_layers, its_items in clusters:
        first = len(layers)
        items += [replace(i, layers=tuple(first + k for k in i.layers)) for i in its_items]
        layers += [
            layer if layer.clip_to is None else replace(layer, clip_to=first + layer.clip_to)
            for layer in its_layers
        ]
    return Layout(ground, tuple(layers), tuple(items))
