"""Checks prompts of users, and turns them into arguments of the decoder."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Int32
from numpy.typing import ArrayLike

from pipeline.prompt_kinds import BOX, PROMPT_KINDS, PromptError
from pipeline.vocabulary import SINGLE_CLICKS, TRAIN_PROMPTS

BACKGROUND: Final = 0
FOREGROUND: Final = 1
"""Labels of clicks in SAM2: ``BACKGROUND`` for a click beside the object, ``FOREGROUND`` for a
click on it."""

LABELS: Final = (-1, BACKGROUND, FOREGROUND, *BOX)
"""All labels that SAM2's prompt encoder knows; -1 marks a point that pads a batch."""

BOX_ORDER: Final = "LEFT,TOP,RIGHT,BOTTOM"
"""Order of the four numbers of a box, for messages."""

BOX_MARGIN_PX: Final = 1
"""Distance by which a box may reach beyond the image: many files round boxes up."""


LEARNED: Final = {
    "center": "one click on the object",
    "refined": "eight of them",
    "box": "a box",
    "corrected": "corrections",
}
"""Words for the prompt sets from which heads may learn."""


@dataclass(frozen=True)
class PromptSet:
    """Clicks with labels, a box and a mask about one object, as arguments of ``predict``."""

    point_coords: ArrayLike | None = None
    """Clicks (x, y) in pixels of the image, of shape ``(click, 2)``."""
    point_labels: ArrayLike | None = None
    """Label of each click: 1 on the object, 0 beside the object."""
    box: ArrayLike | None = None
    """Box as SAM2 takes it: left, top, right, bottom, in pixels of the image."""
    mask_input: ArrayLike | None = None
    """Low-resolution logits of an earlier mask, of shape ``(1, y, x)``."""


Kind = tuple[int, bool]
"""Number of points, and whether there is a mask: equal for all prompt sets of a decoder call."""


@dataclass(frozen=True)
class DecoderPrompts:
    """Prompt sets as arguments of ``Sam.decode``, all with the same number of points.

    Corners of boxes come before clicks.
    """

    points: Float32[np.ndarray, "prompt point 2"] | None
    """Points (x, y) in pixels of the image."""
    labels: Int32[np.ndarray, "prompt point"] | None
    mask_input: Float32[np.ndarray, "_ 1 y x"] | None

    @property
    def n_sets(self) -> int:
        """Number of prompt sets; 1 if there are neither points nor a mask."""
        arrays = self.points if self.points is not None else self.mask_input
        return 1 if arrays is None else len(arrays)

    @property
    def kind(self) -> Kind:
        """Number of points per prompt set, and whether there is a mask."""
        n_points = 0 if self.points is None else self.points.shape[1]
        return n_points, self.mask_input is not None

    @property
    def names(self) -> frozenset[str]:
        """Names of the method's prompt sets, such as ``center``, that these prompts may be.

        A single click may be ``center`` or ``near``, not ``p1`` to ``p7``: users do not click at
        random. Prompts with a mask have no name.
        """
        if self.labels is None or self.mask_input is not None:
            return frozenset()
        labels = tuple(self.labels[0].tolist())
        return frozenset(
            kind.asked_as if kind.name != TRAIN_PROMPTS[0] else kind.name
            for kind in PROMPT_KINDS
            if kind.name not in SINGLE_CLICKS[1:]
            and labels[: len(kind.labels)] == kind.labels
            and len(labels) == len(kind.labels) + kind.n_corrections
            and {*labels[len(kind.labels) :]} <= {BACKGROUND, FOREGROUND}
        )

    def caution(self, learned: Collection[str]) -> str:
        """Why heads may be wrong about these prompts; empty if they learned from similar prompts.

        ``learned`` has the names of the prompt sets from which the heads learned.
        """
        labels = [] if self.labels is None else self.labels[0].tolist()
        features = {
            "a box": (BOX[0] in labels, {"box"}),
            "clicks beside the object": (BACKGROUND in labels, {"corrected"}),
            f"{labels.count(FOREGROUND)} clicks": (
                labels.count(FOREGROUND) > 1,
                {"refined", "corrected"},
            ),
            "a mask": (self.mask_input is not None, set()),
        }
        unlearned = " and ".join(
            name
            for name, (is_present, teachers) in features.items()
            if is_present and not teachers & {*learned}
        )
        lessons = ", ".join(words for name, words in LEARNED.items() if name in learned)
        return f"the heads learned from {lessons}; this prompt has {unlearned}" if unlearned else ""


def parse_prompts(
    prompt_set: PromptSet, *, scale: tuple[int, int] = (1, 1), mask_size_px: int | None = None
) -> DecoderPrompts:
    """Check one prompt set, or several in one array, and convert it for the decoder.

    Raises a PromptError if an array has another shape, clicks lack labels, a label is unknown, a
    number is not finite, or the arrays have different numbers of prompt sets. Points beyond the
    image are accepted.

    Parameters
    ----------
    prompt_set
        For several prompt sets, each array has an additional first dimension.
    scale
        Factors (x, y) that convert the coordinates of clicks and boxes to pixels of the image.
    mask_size_px
        Side of the model's low-resolution masks; None if no model is known yet: then ``mask_input``
        may have any size.

    Returns
    -------
    The prompts; without clicks and box, ``points`` and ``labels`` are None.
    """
    points_and_labels = []
    if prompt_set.box is not None:
        points_and_labels.append(_corners(prompt_set.box))
    if prompt_set.point_coords is not None or prompt_set.point_labels is not None:
        points_and_labels.append(_clicks(prompt_set.point_coords, prompt_set.point_labels))
    counts = [len(points) for points, _ in points_and_labels]
    if len(set(counts)) > 1:
        raise PromptError(f"boxes and clicks must be of equally many prompt sets, got {counts}")
    mask = None if prompt_set.mask_input is None else _mask(prompt_set.mask_input, mask_size_px)
    if not points_and_labels:
        return DecoderPrompts(None, None, mask)
    points, labels = (
        np.concatenate(arrays, axis=1) for arrays in zip(*points_and_labels, strict=True)
    )
    if mask is not None and len(mask) not in {1, len(points)}:
        raise PromptError(f"mask_input must be of {len(points)} prompt sets, got {len(mask)}")
    return DecoderPrompts(points * np.array(scale, np.float32), labels, mask)


def parse_one(
    prompt_set: PromptSet, size_px: tuple[int, int], *, mask_size_px: int | None = None
) -> DecoderPrompts:
    """Check one prompt set about an image, for a prediction of uncertainty, and convert it.

    ``size_px`` is the height and width of the image; ``mask_size_px`` is as for ``parse_prompts``.
    Raises a PromptError if ``parse_prompts`` would refuse the prompts, or if they are of several
    prompt sets, point to no object, or lie beyond the image. SAM2 and ``predict`` answer prompts of
    the latter kinds, but it is unknown how well heads judge the masks.
    """
    prompts = parse_prompts(prompt_set, mask_size_px=mask_size_px)
    if prompts.n_sets != 1:
        raise PromptError(
            f"prompts must be of one set, got {prompts.n_sets}: "
            "predict_uncertainties takes many, each a PromptSet"
        )
    # Checked in their original precision: a click rounded to float32 may lie on the edge.
    clicks, labels, box = (
        np.asarray([] if array is None else array, np.float64).ravel()
        for array in (prompt_set.point_coords, prompt_set.point_labels, prompt_set.box)
    )
    _check_labels(labels, (BACKGROUND, FOREGROUND))
    check_clicks(clicks.reshape(-1, 2), size_px)
    if len(box):
        check_box(box.tolist(), size_px)
    elif prompt_set.mask_input is None and FOREGROUND not in labels:
        prompt = "clicks beside it alone" if len(labels) else "none"
        raise PromptError(f"prompt must have a click on the object, a box or a mask, got {prompt}")
    return prompts


def check_clicks(clicks: Iterable[Iterable[float]], size_px: tuple[int, int]) -> None:
    """Raise a PromptError for a click (x, y) outside of the image of ``size_px`` (height, width).

    The image's right and lower edges lie outside. Swapped x and y are the usual cause.
    """
    height, width = size_px
    for x, y in clicks:
        if not (0 <= x < width and 0 <= y < height):
            raise PromptError(
                f"click must lie in the image of {width} x {height} px, got {x:g},{y:g}"
            )


def check_box(box: Sequence[float], size_px: tuple[int, int]) -> None:
    """Raise a PromptError for a box that is empty or not in the image.

    A box is its left, top, right and lower edge; it may reach ``BOX_MARGIN_PX`` beyond the image of
    ``size_px`` (height, width). Width and height instead of the right and lower edge are the usual
    fault.
    """
    (x1, y1, x2, y2), (height, width) = box, size_px
    numbers = ",".join(f"{side:g}" for side in box)
    if not (x1 < x2 and y1 < y2):
        raise PromptError(f"box must be {BOX_ORDER}, wider and higher than 0 px, got {numbers}")
    overhang = max(-x1, -y1, x2 - width, y2 - height)
    is_outside = x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0
    if is_outside or not overhang <= BOX_MARGIN_PX:
        raise PromptError(
            f"box must be {BOX_ORDER} in the image of {width} x {height} px, got {numbers}"
        )


def check_finite(name: str, values: np.ndarray) -> None:
    """Raise a PromptError for the first value that is NaN or infinite; ``name`` is for messages."""
    infinite = values[~np.isfinite(values)]
    if infinite.size:
        raise PromptError(f"{name} must be finite numbers, got {infinite[0]}")


def joined(prompts: Sequence[DecoderPrompts]) -> DecoderPrompts:
    """Join prompt sets of the same ``kind``, which is not checked, for one decoder call."""
    columns = zip(*(vars(prompt).values() for prompt in prompts), strict=True)
    return DecoderPrompts(
        *(None if arrays[0] is None else np.concatenate(arrays) for arrays in columns)
    )


Points = tuple[Float32[np.ndarray, "prompt point 2"], Int32[np.ndarray, "prompt point"]]


def _clicks(point_coords: ArrayLike | None, point_labels: ArrayLike | None) -> Points:
    if point_coords is None or point_labels is None:
        raise PromptError("point_coords and point_labels must be given together, got one of them")
    points = _single_precision(point_coords)
    labels = np.asarray(point_labels, np.float64)
    if points.ndim not in {2, 3} or points.shape[-1] != 2:  # noqa: PLR2004 - x and y
        raise PromptError(
            f"point_coords must be of shape (click, 2) or (set, click, 2), got {points.shape}"
        )
    if labels.shape != points.shape[:-1]:
        raise PromptError(f"point_labels must be of shape {points.shape[:-1]}, got {labels.shape}")
    _check_labels(labels, LABELS)
    check_finite("point_coords", points)
    if points.ndim == 2:  # noqa: PLR2004 - one prompt set
        points, labels = points[None], labels[None]
    return points, labels.astype(np.int32)


def _single_precision(numbers: ArrayLike) -> Float32[np.ndarray, "..."]:
    """Numbers as float32; a number that is too large becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return np.asarray(numbers, np.float32)


def _check_labels(labels: np.ndarray, accepted: Sequence[int]) -> None:
    unknown = labels[~np.isin(labels, accepted)]
    if unknown.size:
        raise PromptError(
            f"point_labels must be 1 on the object or 0 beside it, got {unknown[0]:g}"
        )


def _corners(box: ArrayLike) -> Points:
    corners = _single_precision(box)
    if corners.ndim not in {1, 2} or corners.shape[-1] != 4:  # noqa: PLR2004 - two corners
        raise PromptError(f"box must be {BOX_ORDER} of shape (4,) or (set, 4), got {corners.shape}")
    check_finite("box", corners)
    points = corners.reshape(-1, 2, 2)
    return points, np.tile(np.array(BOX, np.int32), (len(points), 1))


def _mask(mask_input: ArrayLike, size_px: int | None) -> Float32[np.ndarray, "_ 1 y x"]:
    mask = _single_precision(mask_input)
    if mask.ndim not in {3, 4} or mask.shape[-3] != 1:
        raise PromptError(
            f"mask_input must be of shape (1, y, x) or (set, 1, y, x), got {mask.shape}"
        )
    check_finite("mask_input", mask)
    if size_px is not None and mask.shape[-2:] != (size_px, size_px):
        raise PromptError(
            f"mask_input must be of {size_px} x {size_px} px, as this model's logits are, got "
            f"{mask.shape[-1]} x {mask.shape[-2]}"
        )
    return mask.reshape(-1, *mask.shape[-3:])
