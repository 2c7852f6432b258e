"""A user's prompts, turned into what the decoder takes."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Int32
from numpy.typing import ArrayLike

from pipeline.prompt_kinds import BOX, PromptError

BACKGROUND: Final = 0
FOREGROUND: Final = 1
"""Labels that SAM2 gives to points: clicks beside and on the object."""

LABELS: Final = (-1, BACKGROUND, FOREGROUND, *BOX)
"""All that SAM2's prompt encoder knows; -1 marks a point that fills up a batch."""

BOX_ORDER: Final = "LEFT,TOP,RIGHT,BOTTOM"
"""The numbers of a box, in pixels."""

BOX_MARGIN_PX: Final = 1
"""How far a box may reach beyond the image: many files round it up."""


LEARNED: Final = {
    "center": "one click on the object",
    "refined": "eight of them",
    "box": "a box",
    "corrected": "corrections",
}
"""Words for the prompt sets that heads learn from."""


@dataclass(frozen=True)
class PromptSet:
    """A prompt about one object: the arguments of ``predict``."""

    point_coords: ArrayLike | None = None
    """Clicks (x, y), ``(click, 2)``."""
    point_labels: ArrayLike | None = None
    """1 for a click on the object, 0 for one beside it."""
    box: ArrayLike | None = None
    """Left, top, right, bottom, as SAM2 has it."""
    mask_input: ArrayLike | None = None
    """Logits of an earlier answer, ``(1, y, x)``."""


Kind = tuple[int, bool]
"""What prompt sets of one decoder call share: how many points, and whether there is a mask."""


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
        given = self.points if self.points is not None else self.mask_input
        return 1 if given is None else len(given)

    @property
    def kind(self) -> Kind:
        """Which other prompt sets can share a decoder call with these."""
        n_points = 0 if self.points is None else self.points.shape[1]
        return n_points, self.mask_input is not None

    def caution(self, learned: Collection[str]) -> str:
        """Why heads may be wrong about such prompts; empty if they learned from such.

        Parameters
        ----------
        learned
            Prompt sets that they learned from.
        """
        labels = [] if self.labels is None else self.labels[0].tolist()
        given = {
            "a box": (BOX[0] in labels, {"box"}),
            "clicks beside the object": (BACKGROUND in labels, {"corrected"}),
            f"{labels.count(FOREGROUND)} clicks": (
                labels.count(FOREGROUND) > 1,
                {"refined", "corrected"},
            ),
            "a mask": (self.mask_input is not None, set()),
        }
        unlearned = " and ".join(
            name for name, (is_given, by) in given.items() if is_given and not by & {*learned}
        )
        known = ", ".join(words for name, words in LEARNED.items() if name in learned)
        return f"the heads learned from {known}; this prompt has {unlearned}" if unlearned else ""


def parse_prompts(
    given: PromptSet, *, scale: tuple[int, int] = (1, 1), mask_size_px: int | None = None
) -> DecoderPrompts:
    """Check the prompts of one set, or of several side by side.

    Parameters
    ----------
    given
        Of several sets, each array has one more dimension in front.
    scale
        What the coordinates are multiplied by to be in pixels of the image.
    mask_size_px
        Side of the model's low-resolution masks; None if no model is known yet.

    Raises
    ------
    PromptError
        If a shape is another, clicks lack labels, a label is unknown, a number is not finite, or
        there are unequally many sets.
    """
    parts = []
    if given.box is not None:
        parts.append(_corners(given.box))
    if given.point_coords is not None or given.point_labels is not None:
        parts.append(_clicks(given.point_coords, given.point_labels))
    if len({len(points) for points, _ in parts}) > 1:
        counts = [len(points) for points, _ in parts]
        raise PromptError(f"boxes and clicks must be of equally many prompt sets, got {counts}")
    mask = None if given.mask_input is None else _mask(given.mask_input, mask_size_px)
    if not parts:
        return DecoderPrompts(None, None, mask)
    points = np.concatenate([part[0] for part in parts], axis=1) * np.array(scale, np.float32)
    labels = np.concatenate([part[1] for part in parts], axis=1)
    if mask is not None and len(mask) not in {1, len(points)}:
        raise PromptError(f"mask_input must be of {len(points)} prompt sets, got {len(mask)}")
    return DecoderPrompts(points, labels, mask)


def parse_one(
    given: PromptSet, size_px: tuple[int, int], *, mask_size_px: int | None = None
) -> DecoderPrompts:
    """The prompts of one set about an image of a height and a width, checked by the rules that
    hold wherever an uncertainty is asked for.

    Raises
    ------
    PromptError
        If they do not fit together, are of several sets, name no object, or lie beyond the image.
        SAM2 and ``predict`` answer those; how well heads judge such masks is unknown.
    """
    prompts = parse_prompts(given, mask_size_px=mask_size_px)
    if prompts.n_sets != 1:
        raise PromptError(
            f"prompts must be of one set, got {prompts.n_sets}: "
            "predict_uncertainties takes many, each a PromptSet"
        )
    # In the precision in which they came: rounded, a click may lie on the edge.
    clicks, labels, box = (
        np.asarray([] if part is None else part, np.float64).ravel()
        for part in (given.point_coords, given.point_labels, given.box)
    )
    _check_labels(labels, (BACKGROUND, FOREGROUND))
    check_clicks(clicks.reshape(-1, 2), size_px)
    if len(box):
        check_box(box.tolist(), size_px)
    elif given.mask_input is None and FOREGROUND not in labels:
        got = "clicks beside it alone" if len(labels) else "none"
        raise PromptError(f"prompt must have a click on the object, a box or a mask, got {got}")
    return prompts


def check_clicks(clicks: Iterable[Iterable[float]], size_px: tuple[int, int]) -> None:
    """Refuse a click that is on no pixel: the right and the lower edge are beyond the last ones.

    Raises
    ------
    PromptError
        Naming the click and the size of the image; x and y that are swapped are the usual cause.
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
        Naming the box and the order of its numbers, width and height in place of which are the
        usual cause.
    """
    (left, top, right, bottom), (height, width) = box, size_px
    got = ",".join(f"{side:g}" for side in box)
    if not (left < right and top < bottom):
        raise PromptError(f"box must be {BOX_ORDER}, wider and higher than 0 px, got {got}")
    reaches = (-left, -top, right - width, bottom - height)
    is_elsewhere = left >= width or top >= height or right <= 0 or bottom <= 0
    if is_elsewhere or not max(reaches) <= BOX_MARGIN_PX:
        raise PromptError(
            f"box must be {BOX_ORDER} in the image of {width} x {height} px, got {got}"
        )


def check_finite(what: str, values: np.ndarray) -> None:
    """Refuse what is no number.

    Raises
    ------
    PromptError
        Naming the first such value.
    """
    strange = values[~np.isfinite(values)]
    if strange.size:
        raise PromptError(f"{what} must be finite numbers, got {strange[0]}")


def joined(prompts: Sequence[DecoderPrompts]) -> DecoderPrompts:
    """Prompt sets of one kind side by side."""
    parts = zip(*(vars(one).values() for one in prompts), strict=True)
    return DecoderPrompts(*(None if part[0] is None else np.concatenate(part) for part in parts))


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
    is_one = points.ndim == 2  # noqa: PLR2004 - of one set
    sets = (points[None], labels[None]) if is_one else (points, labels)
    return sets[0], sets[1].astype(np.int32)


def _check_labels(labels: np.ndarray, known: Sequence[int]) -> None:
    unknown = labels[~np.isin(labels, known)]
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
