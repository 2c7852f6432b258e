"""Records in the card of a head file: guarantees, their conditions, and gains of chosen masks.

``pipeline.predictor.judgement`` alone decides what may be said of a mask from these records.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.proposals import Values

DRAWN_SHAPES: Final = "drawn shapes"
"""Contents of the images from which the mini models and their heads learned."""

DRAWN_ONLY: Final = f"the mini models know {DRAWN_SHAPES} only"

OUT_OF_DISTRIBUTION: Final = 0.97
"""Value of ``unlike_training`` above which an image counts as out of distribution."""

BEST_OF_THREE: Final = (
    "these heads learned from the best of three masks: what they say of a mask holds if it is the "
    "best of its three"
)


@dataclass(frozen=True)
class Scope:
    """Conditions under which a guarantee was calibrated."""

    protocol: str
    """Masks that were judged: the ``best`` of three proposals, or the ``selected`` proposal."""
    prompts: tuple[str, ...]
    """Prompt sets of the judged masks, by the names that settings use."""
    n_images: int | None
    """Number of images, or of videos; None if the number is unknown."""
    images: str
    """Contents of the images, such as ``DRAWN_SHAPES``; empty if the contents are unknown."""


OF_SETS: Final = "set"
"""Name of the guarantee about sets of proposals; ``GUARANTEES`` are about single masks."""


@dataclass(frozen=True)
class CalibratedGuarantee:
    """A threshold of uncertainty, what it guarantees, and a description of its calibration masks.

    A mask falls short if its IoU is below ``iou_at_least``. The guarantee allows at most a share
    ``alpha`` of all masks to be kept and fall short, or of the kept masks to fall short, or of the
    mask sets to have no good mask; ``of`` tells which.
    """

    scope: Scope
    split: str
    """Eval split whose masks calibrated the threshold."""
    model: str
    measure: str
    train_split: str
    """Train split of the heads; empty for a measure without heads."""
    of: str
    """A name in ``pipeline.risk_control.GUARANTEES``, or ``OF_SETS``."""
    iou_at_least: float
    """A mask with a lower IoU falls short."""
    alpha: float
    """Share of masks (or of sets) that may fall short."""
    confidence: float | None
    """Probability over calibrations with which the guarantee holds; None if it holds for the mean
    over calibrations."""
    threshold: float
    """A mask is kept if its measure is at most the threshold: larger is more uncertain. A guarantee
    about sets has the threshold that ``pipeline.mask_choices.mask_set`` takes."""
    kept: float
    """Share of the calibration's masks that the threshold keeps."""
    n_objects: int
    """Number of objects whose masks calibrated the threshold."""


LEAST_GAIN: Final = 0.01
"""Difference in IoU from which an object counts as gained or lost, and a calibrated gain counts.

Held-out drawn scenes (mini, one click, mean of four models): all chosen masks gained 2.4 points and
changed 90 % of the objects; those above 0 gained 2.3 and changed 75 %; from 0.01 on, 2.2 and 43 %.
"""


@dataclass(frozen=True)
class ChoiceGain:
    """IoU that the heads' choice gains over the selected masks of a model, for one prompt set.

    It was measured on images of the train split that were held out from the heads. The claimed gain
    of a mask is its expected IoU less that of the selected mask.
    """

    prompt: str
    """Name of the prompt set."""
    model: str
    """Model whose masks the heads choose from."""
    claimed: tuple[float, ...]
    """Claimed gains at the knots of the calibration, rising; empty if the images are too few for a
    calibration, or if each chosen mask is the selected one."""
    calibrated: tuple[float, ...]
    """Mean true gains at the knots, never falling."""
    gain: float
    """Mean gain over all objects, by calibrations on other images; 0 for a selected mask. It is
    measured over all models together, so it is equal in the records of all models, as its ends
    are."""
    low: float
    """Lower end of the 95 % interval of the gain over the images."""
    high: float
    """Upper end of this interval."""
    n_images: int

    @property
    def is_sure(self) -> bool:
        """Whether the interval of the gain lies above 0; otherwise the choice is not offered."""
        return self.low > 0

    def gain_at(self, claimed: Values) -> Values:
        """Calibrated gain of each claimed gain; a larger claim never gives a smaller gain.

        For a claim above 0, it is linear between the knots and constant beyond them; a gain above 0
        but below ``LEAST_GAIN`` becomes 0. For any other claim, it is the claim itself, or the
        calibrated gain at 0 if that is lower. Without knots, no gain is above 0.
        """
        knots = (self.claimed, self.calibrated) if self.claimed else ((0.0,), (0.0,))
        gain = np.interp(claimed, *knots)
        counted = np.where(gain < LEAST_GAIN, np.minimum(gain, 0), gain)
        at_zero = min(float(np.interp(0, *knots)), 0)
        values: Values = np.where(claimed > 0, counted, np.minimum(claimed, at_zero))
        return values
