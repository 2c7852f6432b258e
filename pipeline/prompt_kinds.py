"""The kinds of prompt sets: one row each, from which names, settings, calls and docs follow."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Final

import numpy as np
from jaxtyping import Bool, Int, Num

from pipeline.vocabulary import NEAR_CLICKS, PROMPTS, SINGLE_CLICKS

BOX: Final = (2, 3)
"""Labels of the corners of a box, the upper left and the lower right one."""

JITTER_SHARE: Final = 20 / 1024
"""How far a click is moved at most, as a share of the image's width and height.

UncertSAM (arXiv 2512.23427) moves clicks by up to 20 px either way in images of 1024, the bound
that SAM's training has for the noise of boxes (arXiv 2304.02643).
"""

Clicks = Int[np.ndarray, "8 2"]
Mask = Bool[np.ndarray, "height width"]
Points = Num[np.ndarray, "point 2"]


class PromptError(ValueError):
    """A prompt is none, of nothing in the image, or one that the model makes no numbers of."""


@dataclass(frozen=True)
class PromptKind:
    """One row of the table: a prompt set.

    Attributes
    ----------
    points
        Takes the clicks of an object, in the order of ``SINGLE_CLICKS``, and its ground truth;
        gives the points (x, y) of the prompt set, in pixels of the unaugmented image.
    labels
        Of each point: 0 background, 1 foreground, 2 and 3 the corners of a box.
    n_corrections
        Clicks that follow one another, each where the model's selected mask is wrong.
    group
        Name of those that share decoder calls and are asked for together; empty if it is alone.
    in_every_view
        Whether cells of other views than ``identity`` have it, too.

    Raises
    ------
    ValueError
        If a label is another, or a box has one corner.
    """

    name: str
    meaning: str
    points: Callable[[Clicks, Mask], Points]
    labels: tuple[int, ...] = (1,)
    n_corrections: int = 0
    group: str = ""
    in_every_view: bool = True

    def __post_init__(self) -> None:
        corners = tuple(label for label in self.labels if label in BOX)
        if not self.labels or not {*self.labels} <= {0, 1, *BOX} or corners not in {(), BOX}:
            raise ValueError(
                f"labels of prompt set {self.name} must be some of 0 and 1, or 2 before 3 once, "
                f"got {self.labels}"
            )

    @property
    def asked_as(self) -> str:
        """Name by which settings ask for it."""
        return self.group or self.name

    def points_of(self, clicks: Clicks, mask: Mask) -> Points:
        """Points of an object, as many as there are labels.

        Raises
        ------
        PromptError
            If there are more or fewer, or one is not in the image.
        """
        points = np.asarray(self.points(clicks, mask))
        if points.shape != (wanted := (len(self.labels), 2)):
            raise PromptError(
                f"points of prompt set {self.name} must have the shape {wanted}, got {points.shape}"
            )
        size_px = mask.shape[::-1]
        outside = points[~((points >= 0) & (points <= size_px)).all(axis=1)]  # NaN, too
        if len(outside):
            x, y = outside[0]
            raise PromptError(
                f"points of prompt set {self.name} must lie in the image of {size_px[0]} x "
                f"{size_px[1]} px, got {x:g},{y:g}"
            )
        return points


def bounding_box(mask: Mask) -> Int[np.ndarray, "2 2"]:
    """Upper left and lower right pixel (x, y) of a mask's bounding box, both within it.

    >>> mask = np.zeros((20, 30), bool)
    >>> mask[4:13, 10:21] = True
    >>> bounding_box(mask).tolist()
    [[10, 4], [20, 12]]
    """
    pixels = np.argwhere(mask)[:, ::-1]
    return np.stack([pixels.min(axis=0), pixels.max(axis=0)])


def _click(index: int, clicks: Clicks, _: Mask) -> Points:
    return clicks[[index]]


def moved_click(number: int, clicks: Clicks, mask: Mask) -> Points:
    """The first click, moved at random by ``JITTER_SHARE`` at most, to a pixel of the image.

    >>> clicks, mask = np.full((8, 2), 100), np.ones((256, 256), bool)
    >>> moved_click(1, clicks, mask).tolist()
    [[96, 97]]

    Notes
    -----
    Seeded by its number and the object's clicks. It may leave the object; UncertSAM would then ask
    the ground truth for its label, which here stays that of a click on the object.
    """
    size_px = np.array(mask.shape[::-1])
    reach_px = np.rint(JITTER_SHARE * size_px).astype(int).clip(min=1)
    generator = np.random.default_rng([number, *clicks.ravel().tolist()])
    return (clicks[[0]] + generator.integers(-reach_px, reach_px + 1)).clip(0, size_px - 1)


PROMPT_KINDS: Final = (
    *(
        PromptKind(name, "one click", partial(_click, index), group="clicks")
        for index, name in enumerate(SINGLE_CLICKS)
    ),
    PromptKind(
        "refined",
        "all eight clicks together",
        lambda clicks, _: clicks,
        labels=(1,) * len(SINGLE_CLICKS),
    ),
    PromptKind(
        "box",
        "the bounding box of the object",
        lambda _, mask: bounding_box(mask),
        labels=BOX,
    ),
    PromptKind(
        "corrected",
        "the first click, then three corrections: each in the middle of the largest region where "
        "the model's selected mask is wrong",
        partial(_click, 0),
        n_corrections=3,
    ),
    *(
        PromptKind(
            name,
            "the first click, moved at random by up to 2 % of the image's width and height",
            partial(moved_click, number),
            group="near",
            in_every_view=False,
        )
        for number, name in enumerate(NEAR_CLICKS, 1)
    ),
)
"""Those of the method, in the order of ``PROMPTS``, then those that settings ask for."""

EXTRA_PROMPTS: Final = tuple(dict.fromkeys(kind.asked_as for kind in PROMPT_KINDS[len(PROMPTS) :]))
"""Prompt sets, or groups of them, that no formula of the method asks for."""


def with_extra(
    extra: Collection[str], prompts: tuple[str, ...] = PROMPTS, *, view: str = "identity"
) -> tuple[str, ...]:
    """Prompt sets of a cell and some of ``EXTRA_PROMPTS``, in the order of the table."""
    return tuple(
        kind.name
        for kind in PROMPT_KINDS
        if kind.name in prompts
        or (kind.asked_as in extra and (kind.in_every_view or view == "identity"))
    )


def calls_of(prompts: Collection[str]) -> list[list[PromptKind]]:
    """Prompt sets that share decoder calls, in the order of the table, which has no others.

    The last bits of what is stored depend on the calls. Those of a group share theirs; any other
    has its own, so that it changes no other, and none need be known that was in the table.
    """
    asked = [kind for kind in PROMPT_KINDS if kind.name in prompts]
    return [list(kinds) for _, kinds in groupby(asked, key=lambda kind: kind.asked_as)]
