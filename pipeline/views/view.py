"""A view of an image: its name and parameters, the way into it and back out of it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from reprlib import repr as shortened

import numpy as np
from jaxtyping import Num, UInt8

from pipeline.seeds import derive_seed
from pipeline.views.kinds import VIEW_KINDS, Points, Rgb, Tensor, ViewKind


@dataclass(frozen=True)
class View:
    """A kind of view with its parameters, made by ``parse_view`` or ``default_view``."""

    name: str
    kind: ViewKind
    parameters: Mapping[str, int]

    @property
    def described_parameters(self) -> str:
        """The parameters as a store's signature holds them: ``quality=10``."""
        return ", ".join(f"{name}={value}" for name, value in self.parameters.items())


def parse_view(name: str, parameters: Mapping[str, object]) -> View:
    """A view with these parameters.

    Raises
    ------
    ValueError
        If no kind has views of that name, or a parameter is missing, unknown, out of range or
        different from what the name says.
    """
    kind, number = _parse_name(name)
    for key in parameters:
        if key not in kind.parameters:
            known = f"one of {', '.join(kind.parameters)}" if kind.parameters else "left out"
            raise ValueError(f"views.{name}: key must be {known}, got {key!r}")
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
    """The view of a name, with its other parameters at their defaults.

    >>> default_view("jpeg10").parameters
    {'quality': 10}
    """
    kind, number = _parse_name(name)
    values = {key: number if key == kind.named else p.default for key, p in kind.parameters.items()}
    return parse_view(name, values)


def entropy_views(names: Iterable[str]) -> tuple[str, ...]:
    """The given views that enter the entropies: T of the paper."""
    return tuple(name for name in names if _parse_name(name)[0].is_averaged)


def view_order(name: str) -> tuple[int, int]:
    """Key that sorts views as the paper's Table 10 does, those of a kind by their number."""
    kind, number = _parse_name(name)
    return VIEW_KINDS.index(kind), -1 if number is None else number


def apply_view(rgb: Rgb, view: View, *, image: str = "") -> UInt8[np.ndarray, "rows cols 3"]:
    """Augment an image.

    Parameters
    ----------
    image
        Name of the image; with the view's own seed and name it seeds what is random in it.
    """
    values = dict(view.parameters)
    if "seed" in values:
        values["seed"] = derive_seed(values["seed"], image, view.name)
    return view.kind.apply(rgb, **values)


def map_points(
    points: Num[np.ndarray, "*batch 2"], view: View, *, height_px: int, width_px: int
) -> Points:
    """Map pixels (x, y) of the image to the same pixels in the view."""
    there = points.astype(np.float32)
    if view.kind.map_points is None:
        return there
    mapped = view.kind.map_points(there, height_px, width_px, **view.parameters)
    return mapped.astype(np.float32, copy=False)


def unview(maps: Num[Tensor, "*batch y x"], view: View) -> Num[Tensor, "*batch y x"]:
    """Map what was predicted in the view back to the unaugmented frame."""
    return maps if view.kind.unmap is None else view.kind.unmap(maps)


def _parse_name(name: str) -> tuple[ViewKind, int | None]:
    """The kind that a name belongs to, and the number that it ends with."""
    found = re.fullmatch(r"([a-z]+)(0|[1-9][0-9]{0,8})?", name)
    kind = next((kind for kind in VIEW_KINDS if found and kind.name == found[1]), None)
    number = int(found[2]) if found and found[2] else None
    fits = kind and (number is not None if kind.named else number is None or kind.parameters)
    if not kind or not fits:
        known = ", ".join(kind.pattern for kind in VIEW_KINDS)
        raise ValueError(f"view must be one of {known}, got {name!r}")
    return kind, number
