"""Prompt sets as a table; names, settings, decoder calls and docs follow from its rows."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Final

import numpy as np
from jaxtyping import Bool, Int, Num

from pipeline.vocabulary import NEAR_CLICKS, PROMPTS, SINGLE_CLICKS

BOX: Final = (2, 3)
"""Labels of the corners of a box: upper left, lower right."""

JITTER_SHARE: Final = 20 / 1024
"""Largest distance by which ``moved_click`` moves a click, as a share of the image's width and
height.

UncertSAM (arXiv 2512.23427) moves clicks by up to 20 px in each direction in images of 1024 px,
like the noise of boxes in SAM's training (arXiv 2304.02643).
"""

Clicks = Int[np.ndarray, "8 2"]
Mask = Bool[np.ndarray, "height width"]
Points = Num[np.ndarray, "point 2"]


class PromptError(ValueError):
    """Raised for a prompt that is empty, lies outside of the image, or gets NaN from the model."""


@dataclass(frozen=True)
class PromptKind:
    """One row of the table: a prompt set.

    Attributes
    ----------
    points
        Computes the points (x, y) of the prompt set, in pixels of the unaugmented image, from an
        object's clicks, in the order of ``SINGLE_CLICKS``, and from its ground truth.
    labels
        Label of each point: 0 background, 1 foreground, 2 and 3 the corners of a box.
    n_corrections
        Number of clicks that are added to the points, each where the model's selected mask is
        wrong.
    group
        Name of a group of prompt sets that share decoder calls and a name in the settings; empty
        for a prompt set with decoder calls of its own.

    Raises
    ------
    ValueError
        If there is no label, a label is not 0, 1, 2 or 3, or labels 2 and 3 are not one box, 2
        first.
    """

    name: str
    meaning: str
    points: Callable[[Clicks, Mask], Points]
    labels: tuple[int, ...] = (1,)
    n_corrections: int = 0
    group: str = ""

    def __post_init__(self) -> None:
        corners = tuple(label for label in self.labels if label in BOX)
        if not self.labels or not {*self.labels} <= {0, 1, *BOX} or corners not in {(), BOX}:
            raise ValueError(
                f"labels of prompt set {self.name} must be some of 0 and 1, or 2 before 3 once, "
                f"got {self.labels}"
            )

    @property
    def asked_as(self) -> str:
        """Name in settings that asks for the prompt set: the name of its group, or its own."""
        return self.group or self.name

    def points_of(self, clicks: Clicks, mask: Mask) -> Points:
        """Points (x, y) of the prompt set on an object, one for each label, without corrections.

        ``clicks`` are in the order of ``SINGLE_CLICKS``; ``mask`` is the ground truth at image
        size. Raises a PromptError if the number of points is not the number of labels, or a point
        is outside of the image.
        """
        points = np.asarray(self.points(clicks, mask))
        if points.shape != (shape := (len(self.labels), 2)):
            raise PromptError(
                f"points of prompt set {self.name} must have the shape {shape}, got {points.shape}"
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
    """Upper left and lower right pixel (x, y) of a mask, both inside its bounding box.

    An empty mask raises an error.

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
    """Move the first click at random, within the image, to a click of shape (1, 2).

    In each direction it moves by at most ``JITTER_SHARE`` of the image's side, or by 1 px if that
    is more. ``number`` and the object's clicks are the seed.

    >>> clicks, mask = np.full((8, 2), 100), np.ones((256, 256), bool)
    >>> moved_click(1, clicks, mask).tolist()
    [[96, 97]]

    Notes
    -----
    The moved click may lie outside of the object: UncertSAM would then take its label from the
    ground truth; here the label stays foreground.
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
        )
        for number, name in enumerate(NEAR_CLICKS, 1)
    ),
)
"""The table: the prompt sets of the method, in the order of ``PROMPTS``, then the prompt sets that
settings may add."""

EXTRA_PROMPTS: Final = tuple(dict.fromkeys(kind.asked_as for kind in PROMPT_KINDS[len(PROMPTS) :]))
"""Names of the prompt sets, or of groups of prompt sets, that settings may add. Only cells of the
view ``identity`` have them: no formula uses their masks in other views."""


def with_extra(extra: Collection[str], prompts: tuple[str, ...] = PROMPTS) -> tuple[str, ...]:
    """Names of prompt sets: ``prompts`` and all that ``extra`` asks for, in the order of the table.

    ``extra`` has names of ``EXTRA_PROMPTS``: the name of a group adds all prompt sets of the group.
    Unknown names add nothing and raise no error.

    >>> with_extra(["near", "box"], ("center",))
    ('center', 'box', 'near1', 'near2', 'near3', 'near4', 'near5', 'near6', 'near7')
    """
    return tuple(
        kind.name for kind in PROMPT_KINDS if kind.name in prompts or kind.asked_as in extra
    )


def calls_of(prompts: Collection[str]) -> list[list[PromptKind]]:
    """Divide prompt sets into lists that share decoder calls, in the order of the table.

    The prompt sets of a group are decoded together. Each other prompt set is decoded in a call of
    its own: adding or removing one leaves the bytes of the others as they are. Unknown names are
    left out.
    """
    kinds = [kind for kind in PROMPT_KINDS if kind.name in prompts]
    return [list(call) for _, call in groupby(kinds, key=lambda kind: kind.asked_as)]
