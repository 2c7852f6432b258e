"""The table of kinds of views; applies views to images, maps clicks into and masks out of views."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, Num, UInt8

from pipeline.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    Tensor = torch.Tensor
else:  # torch takes seconds to import, and most stages read this table for its names alone
    Tensor = Any

Rgb = UInt8[np.ndarray, "height width 3"]
Masks = Bool[np.ndarray, "object height width"]
Points = Float[np.ndarray, "*batch 2"]


@dataclass(frozen=True)
class Parameter:
    """A setting of a kind of view: a whole number.

    Attributes
    ----------
    default
        None if the view's name gives the number.
    low, high
        Bounds, both included.
    is_odd
        Whether the number must be odd.
    """

    meaning: str
    low: int
    high: int
    default: int | None = None
    unit: str = "1"
    is_odd: bool = False

    @property
    def rule(self) -> str:
        """Rule that the parameter's number must keep, in words: ``an odd number from 3 to 99``."""
        return f"{'an odd' if self.is_odd else 'a whole'} number from {self.low} to {self.high}"

    def allows(self, value: object) -> bool:
        """Whether a value is a whole number within the bounds, and odd if it must be."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value % 2 == 1 or not self.is_odd)


@dataclass(frozen=True)
class ViewKind:
    """One row of ``VIEW_KINDS``: a kind of augmentation.

    Attributes
    ----------
    apply
        Augments an image: called with the image, and the parameters by name.
    named
        The parameter whose value ends a view's name, as in ``jpeg10``. None for other kinds; if
        such a kind has parameters, any number may end the name, to tell two of its views apart.
    map_points
        Maps points of the image into the view: called with points (x, y) as float32, the image's
        height and width in pixels, and the parameters by name. None if pixels stay in place.
    unmap
        Maps predictions (masks or logits) in the view back to the image; None if pixels stay in
        place. A prediction covers the whole view at any resolution, so an enlarged view needs no
        mapping.
    map_masks
        Maps true masks of objects into a view that shows objects at another scale; None for other
        kinds. Heads learn from such a view as if it were an image of its own. Entropies cannot use
        it: its predictions are not mapped back.
    is_averaged
        Whether the views belong to T of the paper, over which entropies average. Other views serve
        the table of corruptions only.
    """

    name: str
    meaning: str
    apply: Callable[..., np.ndarray]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    named: str | None = None
    map_points: Callable[..., np.ndarray] | None = None
    unmap: Callable[[Tensor], Tensor] | None = None
    map_masks: Callable[[np.ndarray], np.ndarray] | None = None
    is_averaged: bool = True

    @property
    def pattern(self) -> str:
        """Pattern of the names of its views, for messages: ``jpeg<quality>``, or the bare name."""
        return f"{self.name}<{self.named}>" if self.named else self.name


def _jpeg(rgb: Rgb, *, quality: int) -> Rgb:
    # OpenCV takes BGR; luma would be weighted wrongly in any other order.
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None  # we have just encoded it
    return np.array(decoded[..., ::-1], dtype=np.uint8, order="C")


def _gray(rgb: Rgb) -> Rgb:
    luma = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.repeat(luma[..., None], 3, axis=2)


def _blur(rgb: Rgb, *, kernel_px: int) -> Rgb:
    # Sigma 0 lets OpenCV derive sigma from the kernel: 1.1 for 5 px.
    return np.asarray(cv2.GaussianBlur(rgb, (kernel_px, kernel_px), 0), np.uint8)


def _noise(rgb: Rgb, *, variance: int, seed: int) -> Rgb:
    noise = np.random.default_rng(seed).standard_normal(rgb.shape, dtype=np.float32)
    noisy = rgb + np.float32(variance**0.5) * noise
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)


def _enlarge(rgb: Rgb, *, factor: int) -> UInt8[np.ndarray, "rows cols 3"]:
    return np.asarray(cv2.resize(rgb, None, fx=factor, fy=factor), np.uint8)


def _enlarge_points(points: Points, _height_px: int, _width_px: int, *, factor: int) -> Points:
    # A pixel's centre lies at +0.5, so twice the size moves x to 2 x + 0.5.
    return np.float32(factor) * points + np.float32((factor - 1) / 2)


def _halved_side(side_px: int) -> int:
    """Side of a halved image: even, so that margins of a quarter of the canvas are whole pixels."""
    return max(2, 2 * round(side_px / 4))


def _on_canvas(
    pixels: np.ndarray, background: Float[np.ndarray, " channel"]
) -> Float[np.ndarray, "rows cols channel"]:
    """Reduce an image or a mask to half its size, in the middle of a canvas of twice that size."""
    height, width = map(_halved_side, pixels.shape[:2])
    canvas = np.empty((2 * height, 2 * width, len(background)), np.float32)
    canvas[:] = background
    inner = canvas[height // 2 :, width // 2 :][:height, :width]
    reduced = cv2.resize(pixels.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    inner[:] = reduced.reshape(inner.shape)
    return canvas


def _halve(rgb: Rgb) -> UInt8[np.ndarray, "rows cols 3"]:
    return np.asarray(np.rint(_on_canvas(rgb, rgb.mean(axis=(0, 1)))), np.uint8)


def _halve_masks(masks: Masks) -> Bool[np.ndarray, "object rows cols"]:
    return np.stack([_on_canvas(mask, np.zeros(1))[..., 0] >= 1 / 2 for mask in masks])


def _halve_points(points: Points, height_px: int, width_px: int) -> Points:
    size_px = np.array([width_px, height_px])
    halved = np.array([_halved_side(width_px), _halved_side(height_px)])
    # A pixel's centre lies at +0.5.
    return np.asarray((points + 0.5) * halved / size_px - 0.5 + halved / 2)


VIEW_KINDS: Final = (
    ViewKind("identity", "the image as it is", apply=lambda rgb: rgb),
    ViewKind(
        "vflip",
        "upside down",
        apply=lambda rgb: np.ascontiguousarray(rgb[::-1]),
        map_points=lambda points, height_px, _: points * [1, -1] + [0, height_px - 1],
        unmap=lambda maps: maps.flip(-2),
    ),
    ViewKind(
        "hflip",
        "left and right exchanged",
        apply=lambda rgb: np.ascontiguousarray(rgb[:, ::-1]),
        map_points=lambda points, _, width_px: points * [-1, 1] + [width_px - 1, 0],
        unmap=lambda maps: maps.flip(-1),
        is_averaged=False,
    ),
    ViewKind(
        "scale",
        "enlarged, bilinearly",
        apply=_enlarge,
        parameters={"factor": Parameter("times height and width", 2, 4)},
        named="factor",
        map_points=_enlarge_points,
        is_averaged=False,
    ),
    ViewKind(
        "half",
        "reduced to half its size, in the middle of a canvas of its mean colour",
        apply=_halve,
        map_points=_halve_points,
        map_masks=_halve_masks,
        is_averaged=False,
    ),
    ViewKind("gray", "its luma in all three channels", apply=_gray, is_averaged=False),
    ViewKind(
        "gblur",
        "blurred by a Gaussian, of OpenCV's sigma for the kernel",
        apply=_blur,
        parameters={
            "kernel_px": Parameter("side of the kernel", 3, 99, unit="px", is_odd=True),
        },
        named="kernel_px",
    ),
    ViewKind(
        "gnoise",
        "with Gaussian noise added, drawn anew for each image",
        apply=_noise,
        parameters={
            "variance": Parameter("on the scale 0..255", 1, 255**2, default=5000),
            "seed": Parameter("another draws other noise", 0, 2**32 - 1, default=0),
        },
    ),
    ViewKind(
        "jpeg",
        "compressed as JPEG",
        apply=_jpeg,
        parameters={"quality": Parameter("as OpenCV counts it", 1, 100)},
        named="quality",
    ),
)
"""Every kind of view, in the order of the paper's Table 10."""


@dataclass(frozen=True)
class View:
    """A view: its kind and the values of all its parameters; ``parse_view`` makes it."""

    name: str
    kind: ViewKind
    parameters: Mapping[str, int]

    @property
    def described_parameters(self) -> str:
        """The parameters as a store's signature holds them: ``quality=10``."""
        return ", ".join(f"{name}={value}" for name, value in self.parameters.items())


def parse_view(name: str, parameters: Mapping[str, object]) -> View:
    """Make a view from its name and the values of all its parameters, after checking both.

    Raises a ValueError if no kind has views of that name, or a parameter is missing, unknown, out
    of range or different from the number in the name.
    """
    kind, number = _parse_name(name)
    for key in parameters:
        if key not in kind.parameters:
            rule = f"one of {', '.join(kind.parameters)}" if kind.parameters else "left out"
            raise ValueError(f"views.{name}: key must be {rule}, got {key!r}")
    values: dict[str, int] = {}
    for key, parameter in kind.parameters.items():
        if key not in parameters:
            raise ValueError(f"views.{name}.{key} must be {parameter.rule}, got none")
        value = parameters[key]
        if not isinstance(value, int) or not parameter.allows(value):
            raise ValueError(f"views.{name}.{key} must be {parameter.rule}, got {shortened(value)}")
        if key == kind.named and value != number:
            raise ValueError(f"views.{name}.{key} must be {number}, as the name says, got {value}")
        values[key] = value
    return View(name, kind, values)


def default_view(name: str) -> View:
    """Make a view from its name; parameters that the name does not give have their defaults.

    >>> default_view("jpeg10").parameters
    {'quality': 10}
    """
    kind, number = _parse_name(name)
    values = {key: number if key == kind.named else p.default for key, p in kind.parameters.items()}
    return parse_view(name, values)


def entropy_views(names: Iterable[str]) -> tuple[str, ...]:
    """Select, of names of views, those over which entropies average (T of the paper), in order."""
    return tuple(name for name in names if _parse_name(name)[0].is_averaged)


def view_order(name: str) -> tuple[int, int]:
    """Key that sorts names of views as the paper's Table 10 does, and then by their number."""
    kind, number = _parse_name(name)
    return VIEW_KINDS.index(kind), -1 if number is None else number


def apply_view(rgb: Rgb, view: View, *, image: str = "") -> UInt8[np.ndarray, "rows cols 3"]:
    """Augment an image as the view says; views at another scale may have another size.

    ``image`` names the image; with the view's seed and name, it seeds random pixels. Only views
    with noise need it.
    """
    values = dict(view.parameters)
    if "seed" in values:
        values["seed"] = derive_seed(values["seed"], image, view.name)
    return view.kind.apply(rgb, **values)


def map_points(
    points: Num[np.ndarray, "*batch 2"], view: View, *, height_px: int, width_px: int
) -> Points:
    """Map points (x, y) from pixels of the image to pixels of the view, as float32.

    ``height_px`` and ``width_px`` are the size of the image.
    """
    pixels = points.astype(np.float32)
    if view.kind.map_points is None:
        return pixels
    mapped = view.kind.map_points(pixels, height_px, width_px, **view.parameters)
    return mapped.astype(np.float32, copy=False)


def scene_in_view(
    points: Num[np.ndarray, "object click 2"], masks: Masks, view: View
) -> tuple[Num[np.ndarray, "object click 2"], Bool[np.ndarray, "object rows cols"]]:
    """Clicks (x, y) and true masks of objects in pixels of a view, whose kind must map masks.

    A mapped click is a whole pixel. An object that is too small for the view has the pixel of its
    first click.
    """
    assert view.kind.map_masks is not None
    height, width = masks.shape[1:]
    in_view = view.kind.map_masks(masks)
    clicks = np.rint(map_points(points, view, height_px=height, width_px=width)).astype(np.int64)
    for mask, (x, y) in zip(in_view, clicks[:, 0], strict=True):
        mask[y, x] |= not mask.any()
    return clicks, in_view


def unview(maps: Num[Tensor, "*batch y x"], view: View) -> Num[Tensor, "*batch y x"]:
    """Map predictions (masks or logits) in the view back to the unaugmented image."""
    return maps if view.kind.unmap is None else view.kind.unmap(maps)


def _parse_name(name: str) -> tuple[ViewKind, int | None]:
    """Kind of a view, and the number at the end of its name, None without a number.

    Raises a ValueError if no kind has views of that name.
    """
    parsed = re.fullmatch(r"([a-z]+)(0|[1-9][0-9]{0,8})?", name)
    kind = next((kind for kind in VIEW_KINDS if parsed and kind.name == parsed[1]), None)
    number = int(parsed[2]) if parsed and parsed[2] else None
    fits = kind and (number is not None if kind.named else number is None or kind.parameters)
    if not kind or not fits:
        patterns = ", ".join(kind.pattern for kind in VIEW_KINDS)
        raise ValueError(f"view must be one of {patterns}, got {name!r}")
    return kind, number
