"""Prompts of a step: first a click, several or a box, then corrections where a mask is wrong."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32

from pipeline.predictor.prompt_sets import BACKGROUND, FOREGROUND
from pipeline.prompt_kinds import BOX
from pipeline.prompts import central_error, sample_prompts
from pipeline.vocabulary import SINGLE_CLICKS

SINGLE_CLICK_SHARE: Final = 0.5
"""Share of the steps with one click per object, without corrections; others have two to eight."""

CORRECTED_CLICK_SHARE: Final = 0.7
"""The same share of the steps that begin with clicks where masks are corrected."""

CENTER_SHARE: Final = 0.5
"""Share of single clicks that are ``center``."""

BOX_SHARE: Final = 0.5
"""Share of the corrected steps that begin with a box."""

BOX_NOISE: Final = 0.1
"""Most that a side of a box is off, relative to the box's extent, as in SAM2's training."""

MOST_CORRECTIONS: Final = 5
"""Corrections of a step: as many or fewer, each number equally often."""

Mask = Bool[np.ndarray, "y x"]
Points = Float32[np.ndarray, "click 2"]


@dataclass(frozen=True)
class CorrectionPlan:
    """How a phase corrects masks."""

    n_objects: int
    """The first so many of each image are corrected."""
    mask_share: float = 0.7
    """Share of the steps that give the mask of the round before."""
    central_share: float = 0.5
    """Share of corrections that are central; others are on any wrong pixel."""


@dataclass(frozen=True)
class Corrections:
    """How the masks of a batch are corrected."""

    plan: CorrectionPlan
    seed: int
    n_rounds: int
    is_mask_given: bool
    """Whether the mask of the round before is among the prompts."""


def draw_n_clicks(generator: np.random.Generator, *, is_corrected: bool) -> int:
    """Clicks of each first prompt set of a step; 0 if these are boxes."""
    if is_corrected and generator.uniform() < BOX_SHARE:
        return 0
    if generator.uniform() < (CORRECTED_CLICK_SHARE if is_corrected else SINGLE_CLICK_SHARE):
        return 1
    return int(generator.integers(2, len(SINGLE_CLICKS), endpoint=True))


def draw_first(generator: np.random.Generator, mask: Mask, n_clicks: int) -> Points:
    """A box, or clicks of the method: ``center`` or a random one, or the first ``n_clicks``."""
    if n_clicks == 0:
        return _draw_box(generator, mask)
    clicks = sample_prompts(mask, int(generator.integers(2**63))).astype(np.float32)
    if n_clicks == 1 and generator.uniform() >= CENTER_SHARE:
        return clicks[1:2]
    return clicks[:n_clicks]


def first_labels(n_clicks: int) -> tuple[int, ...]:
    """Labels of a first prompt set."""
    return n_clicks * (FOREGROUND,) or BOX


def _draw_box(generator: np.random.Generator, mask: Mask) -> Points:
    """Corners of the box around an object, each side off by a random part, inside the image."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    corners = np.array([[x, y], [x + width - 1, y + height - 1]])
    off = generator.uniform(-BOX_NOISE, BOX_NOISE, (2, 2)) * (width, height)
    return np.clip(corners + off, 0, np.array(mask.shape[::-1]) - 1).astype(np.float32)


def draw_corrections(generator: np.random.Generator, plan: CorrectionPlan) -> Corrections:
    """How the batch of a step is corrected."""
    return Corrections(
        plan,
        seed=int(generator.integers(2**63)),
        n_rounds=int(generator.integers(1, MOST_CORRECTIONS, endpoint=True)),
        is_mask_given=generator.uniform() < plan.mask_share,
    )


def correct(
    generator: np.random.Generator,
    predicted: Bool[np.ndarray, "row y x"],
    true: Bool[np.ndarray, "row y x"],
    central_share: float,
) -> tuple[Int32[np.ndarray, "row 2"], Int32[np.ndarray, " row"]]:
    """A pixel (x, y) of each row where the mask is wrong, and its true label.

    Notes
    -----
    A share ``central_share`` of the pixels are ``central_error``, where a person would click; the
    others are drawn from all wrong pixels, as in SAM2's training. Where no pixel is wrong, a pixel
    of the whole image is confirmed.
    """
    points = np.empty((len(predicted), 2), np.int32)
    for row, (mask, target) in enumerate(zip(predicted, true, strict=True)):
        wrong = mask != target
        if generator.uniform() < central_share and wrong.any():
            points[row] = central_error(mask, target)
        else:
            candidates = np.flatnonzero(wrong if wrong.any() else np.ones_like(wrong))
            pixel = candidates[generator.integers(candidates.size)]
            points[row] = pixel % mask.shape[1], pixel // mask.shape[1]
    is_member = true[np.arange(len(true)), points[:, 1], points[:, 0]]
    return points, np.where(is_member, FOREGROUND, BACKGROUND).astype(np.int32)
