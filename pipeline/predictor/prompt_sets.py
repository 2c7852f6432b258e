"""Prompts of users, checked and turned into arguments of the decoder."""

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
"""Labels of clicks in SAM2: beside the object, and on it."""

LABELS: Final = (-1, BACKGROUND, FOREGROUND, *BOX)
"""All labels that SAM2's prompt encoder knows; -1 marks a point that pads a batch."""

BOX_ORDER: Final = "LEFT,TOP,RIGHT,BOTTOM"
"""Order of the numbers of a box, in pixels."""

BOX_MARGIN_PX: Final = 1
"""How far a box may reach beyond the image: many files round boxes up."""


LEARNED: Final = {
    "center": "one click on the object",
    "refined": "eight of them",
    "box": "a box",
    "corrected": "corrections",
}
"""Prompt sets that heads learn from, in words."""


@dataclass(frozen=True)
class PromptSet:
    """Prompts about one object: the arguments of ``predict``."""

    point_coords: ArrayLike | None = None
    """Clicks (x, y), ``(click, 2)``."""
    point_labels: ArrayLike | None = None
    """1 for a click on the object, 0 for one beside it."""
    box: ArrayLike | None = None
    """Left, top, right, bottom, as SAM2 has it."""
    mask_input: ArrayLike | None = None
    """Logits of an earlier answer, ``(1, y, x)``."""


Kind = tuple[int, bool]
"""Number of points, and whether there is a mask: equal for all prompt sets of a decoder call."""


@dataclass(frozen=True)
class DecoderPrompts:
    """Arguments of ``Sam.decode``: equally many points in each set, corners of boxes first."""

    points: Float32[np.ndarray, "prompt point 2"] | None
    """In pixels (x, y) of the image."""
    labels: Int32[np.ndarray, "prompt point"] | None
    mask_input: Float32[np.ndarray, "_ 1 y x"] | None

    @property
    def n_sets(self) -> int:
        """Number of prompt sets."""
        arrays = self.points if self.points is not None else self.mask_input
        return 1 if arrays is None else len(arrays)

    @property
    def kind(self) -> Kind:
        """Kind of these prompt sets: a decoder call takes prompt sets of one kind."""
        n_points = 0 if self.points is None else self.points.shape[1]
        return n_points, self.mask_input is not None

    @property
    def prompt_sets(self) -> frozenset[str]:
        """Prompt sets of the method that these prompts may belong to; none for another kind.

        A single click may be ``center``, or ``near`` it. The clicks of the method but the first
        are left out: nobody clicks at random.
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
        """Why heads may be wrong about these prompts; empty if they learned from their kinds.

        Parameters
        ----------
        learned
            Prompt sets that the heads learned from.
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
    """Check the prompts of one prompt set, or of several prompt sets side by side.

    Parameters
    ----------
    prompt_set
        For several prompt sets, each array has one more dimension in front.
    scale
        Factors (x, y) that bring the coordinates to pixels of the image.
    mask_size_px
        Side of the model's low-resolution masks; None if no model is known yet.

    Raises
    ------
    PromptError
        If an array has another shape, clicks lack labels, a label is unknown, a number is not
        finite, or the arrays have different numbers of prompt sets.
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
    """Check the prompts of one prompt set about an image, by the rules for every uncertainty.

    Parameters
    ----------
    size_px
        Height and width of the image.

    Raises
    ------
    PromptError
        If the prompts do not fit together, are of several prompt sets, name no object, or lie
        beyond the image. SAM2 and ``predict`` answer such prompts; how well heads judge the masks
        is unknown.
    """
    prompts = parse_prompts(prompt_set, mask_size_px=mask_size_px)
    if prompts.n_sets != 1:
        raise PromptError(
            f"prompts must be of one set, got {prompts.n_sets}: "
            "predict_uncertainties takes many, each a PromptSet"
        )
    # In their original precision: rounded to float32, a click may lie on the edge.
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
    """Refuse a click that is on no pixel: the right and lower edges lie beyond the last pixels.

    Raises
    ------
    PromptError
        Names the click and the size of the image. Swapped x and y are the usual cause.
    """
    height, width = size_px
    for x, y in clicks:
        if not (0 <= x < width and 0 <= y < height):
            raise PromptError(
                f"click must lie in the image of {width} x {height} px, got {x:g},{y:g}"
            )


def check_box(box: Sequence[float], size_px: tuple[int, int]) -> None:
    """Refuse a box that is empty, or reaches further than ``BOX_MARGIN_PX`` beyond the image.

    Raises
    ------
    PromptError
        Names the box and the order of its numbers. Width and height instead of the right and
        lower edge are the usual cause.
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
    """Refuse NaN and infinity.

    Raises
    ------
    PromptError
        Names the first value that is not finite.
    """
    infinite = values[~np.isfinite(values)]
    if infinite.size:
        raise PromptError(f"{name} must be finite numbers, got {infinite[0]}")


def joined(prompts: Sequence[DecoderPrompts]) -> DecoderPrompts:
    """Prompt sets of one kind side by side."""
    columns = zip(*(vars(prompt).values() for prompt in prompts), strict=True)
    return DecoderPrompts(
        *(None if arrays[0] is None else np.concatenate(arrays) for arrays in columns)
    )


Points = tuple[Float32[np.ndarray, "prompt point 2"], Int32[np.ndarray, "prompt point"]]


def _clicks(point_coords: ArrayLike | None, point_labels: ArrayLike | None) -> Points:
    if point_coords is None or point_labels is None:
        raise PromptError("point_coords and point_labels must be given together, got one of them")
    points = np.asarray(point_coords, np.float32)
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


def _check_labels(labels: np.ndarray, accepted: Sequence[int]) -> None:
    unknown = labels[~np.isin(labels, accepted)]
    if unknown.size:
        raise PromptError(
            f"point_labels must be 1 on the object or 0 beside it, got {unknown[0]:g}"
        )


def _corners(box: ArrayLike) -> Points:
    corners = np.asarray(box, np.float32)
    if corners.ndim not in {1, 2} or corners.shape[-1] != 4:  # noqa: PLR2004 - two corners
        raise PromptError(f"box must be {BOX_ORDER} of shape (4,) or (set, 4), got {corners.shape}")
    check_finite("box", corners)
    points = corners.reshape(-1, 2, 2)
    return points, np.tile(np.array(BOX, np.int32), (len(points), 1))


def _mask(mask_input: ArrayLike, size_px: int | None) -> Float32[np.ndarray, "_ 1 y x"]:
    mask = np.asarray(mask_input, np.float32)
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
