"""Scope of evidence: the conditions under which heads learned, or a guarantee was calibrated.

``permitted`` alone decides which statements about a mask the scopes of heads and guarantees allow.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

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
    """Conditions under which heads learned, or a guarantee was calibrated.

    They are the protocol, the prompt sets, the number of images and what the images showed.
    """

    protocol: str
    """Masks that were judged: the ``best`` of three proposals, or the ``selected`` proposal."""
    prompts: tuple[str, ...]
    """Prompt sets of the judged masks, by the names that settings use."""
    n_images: int | None
    """Number of images, or of videos; None if the number is unknown."""
    images: str
    """Contents of the images, such as ``DRAWN_SHAPES``; empty if the contents are unknown."""

    @property
    def compares_proposals(self) -> bool:
        """Whether heads of this scope can compare the three proposals of a prompt.

        Heads that learned from best proposals take every proposal for the best. Their advice to
        take another proposal, given for 328 of 1,039 objects, lowered the mean IoU by 0.085.
        """
        return self.protocol == "selected"


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
    """One of ``GUARANTEES``, or ``OF_SETS``."""
    iou_at_least: float
    """A mask with a lower IoU falls short."""
    alpha: float
    """Share of masks (or of sets) that may fall short."""
    confidence: float | None
    """Probability over calibrations with which the guarantee holds; None if it holds for the mean
    over calibrations."""
    threshold: float
    """A mask is kept if its measure is at most the threshold: larger is more uncertain. A guarantee
    about sets has the threshold that ``pipeline.mask_sets.mask_set`` takes."""
    kept: float
    """Share of the calibration's masks that the threshold keeps."""
    n_objects: int
    """Number of objects whose masks calibrated the threshold."""


@dataclass(frozen=True)
class ChoiceGain:
    """IoU that the heads' choice of masks gains over SAM2's selected masks, for one prompt set.

    It was measured on images of the train split that were held out from the heads.
    """

    prompt: str
    """Name of the prompt set."""
    gain: float
    """Mean gain in IoU over all objects."""
    low: float
    """Lower end of the 95 % interval of the gain over the images."""
    high: float
    """Upper end of this interval."""
    excess: float
    """Mean of the expected less the true IoU over chosen masks that are not the selected mask. The
    expected IoU is the highest of 27, and so too high."""
    n_images: int

    @property
    def is_sure(self) -> bool:
        """Whether the interval of the gain lies above 0; otherwise the choice is not offered."""
        return self.low > 0


CHOOSES_NOTHING: Final = "these heads do not choose among masks"

UNTESTED_CHOICE: Final = "the choice of masks was not tested for such prompts"


@dataclass(frozen=True)
class Permission:
    """What may be said about the masks of a prompt, given what heads and guarantees know."""

    advises: bool
    """Whether a correction may be advised."""
    compares_proposals: bool
    """Whether the three proposals may be compared. The gap of the task and the advice to keep the
    selected mask need this comparison."""
    choice: ChoiceGain | None
    """Evidence for the heads' choice of masks from this prompt; None if no choice is offered."""
    no_choice: str
    """Why no choice is offered; empty if one is offered."""
    about_masks: CalibratedGuarantee | None
    """Guarantee about selected masks; None if no guarantee holds for this prompt."""
    about_sets: CalibratedGuarantee | None
    """Guarantee about sets of proposals; None if no guarantee holds for this prompt."""
    cautions: tuple[str, ...]
    """Reasons why the heads may be wrong."""

    def keeps(self, expected_iou: float) -> bool | None:
        """Whether the guarantee about masks keeps a selected mask of this expected IoU.

        None if no guarantee about masks holds for the prompt.
        """
        # Compared as in the calibration: 1 - (1 - IoU) may have other last bits than the IoU.
        return None if self.about_masks is None else 1 - expected_iou <= self.about_masks.threshold

    @property
    def least_doubt(self) -> float | None:
        """Threshold of the guarantee about sets: it decides which proposals form a mask set.

        None if no guarantee about sets holds for the prompt.
        """
        return None if self.about_sets is None else self.about_sets.threshold

    @property
    def holds_for(self) -> str:
        """Contents of the images that the heads know, if the image may show others; else empty."""
        return DRAWN_SHAPES if DRAWN_ONLY in self.cautions else ""

    @property
    def caution(self) -> str:
        """All cautions in one line, separated by semicolons; may be empty."""
        return "; ".join(self.cautions)


def permitted(
    heads: Scope,
    guarantees: Sequence[CalibratedGuarantee],
    prompts: Collection[str],
    *,
    unlike_training: float | None,
    choices: Sequence[ChoiceGain] = (),
    prompt_caution: str = "",
) -> Permission:
    """Decide which statements about the masks of a prompt are allowed.

    For an image that is unlike the training images, no advice, guarantee or choice is allowed.
    Guarantees and choices hold only for the prompt sets on which they were measured.

    Parameters
    ----------
    heads
        Scope of the heads.
    guarantees
        Guarantees of the heads for the model that made the masks.
    prompts
        Names of the prompt sets to which the prompt may belong; empty for a prompt of another kind,
        such as a click of a grid.
    unlike_training
        Share of the training images that are nearer to the other training images than this image
        is; None if the share is unknown: then the image counts as similar to them.
    choices
        Gains of the heads' choice of masks, by prompt set; empty for heads that do not choose.
    prompt_caution
        Why the heads may be wrong about this prompt; only added to the cautions. May be empty.

    Notes
    -----
    Under a guarantee of 10 % that was calibrated on clicks, 9.6 % of the masks were kept and fell
    short for clicks, but 14.9 % for boxes and 20.1 % for corrections. Of several valid guarantees,
    the strictest applies.

    Heads of kind ``paper`` and protocol ``selected`` know selected masks alone, and choose none.
    Their advice to take another proposal, given for 36 of 204 objects of fresh scenes, changed the
    mean IoU by -0.088 (-0.135 to -0.040).
    """
    is_unlike = unlike_training is not None and unlike_training > OUT_OF_DISTRIBUTION
    valid = [
        guarantee
        for guarantee in guarantees
        if not is_unlike and not {*prompts}.isdisjoint(guarantee.scope.prompts)
    ]
    about_masks = [
        guarantee
        for guarantee in valid
        # A guarantee about best masks is void for a user, whose mask is the selected one.
        if guarantee.of != OF_SETS and guarantee.scope.protocol == "selected"
    ]
    about_sets = [guarantee for guarantee in valid if guarantee.of == OF_SETS]
    cautions = (
        _unlike_words(unlike_training) if is_unlike else "",
        DRAWN_ONLY if heads.images == DRAWN_SHAPES else "",
        "" if heads.compares_proposals else BEST_OF_THREE,
        prompt_caution,
    )
    choice, no_choice = _offered_choice(choices, prompts, is_unlike=is_unlike)
    return Permission(
        advises=not is_unlike,
        compares_proposals=heads.compares_proposals,
        choice=choice,
        no_choice=no_choice,
        # Of several guarantees, the strictest keeps fewest masks, and its sets are largest.
        about_masks=min(about_masks, key=_threshold, default=None),
        about_sets=min(about_sets, key=_threshold, default=None),
        cautions=tuple(filter(None, cautions)),
    )


def _offered_choice(
    choices: Sequence[ChoiceGain], prompts: Collection[str], *, is_unlike: bool
) -> tuple[ChoiceGain | None, str]:
    """Decide whether the heads' choice of masks is offered for a prompt.

    Parameters
    ----------
    choices
        Measured gains of the heads' choice, one for each prompt set.
    prompts
        Names of the prompt sets that the user's prompt may belong to.
    is_unlike
        Whether the image is unlike the training images; then no choice is offered.

    Returns
    -------
    The gain with the lowest lower bound among ``prompts``, with an empty text, if it is sure.
    Otherwise None, and the reason why no choice is offered.
    """
    of_prompts = [choice for choice in choices if choice.prompt in prompts]
    if is_unlike or not of_prompts:
        untested = UNTESTED_CHOICE if choices else CHOOSES_NOTHING
        return None, "the image is unlike the training images" if is_unlike else untested
    weakest = min(of_prompts, key=lambda choice: choice.low)
    if weakest.is_sure:
        return weakest, ""
    return None, (
        "on held-out training images, the choice of masks gained no sure IoU from such prompts: "
        f"{weakest.gain:+.3f} ({weakest.low:+.3f} to {weakest.high:+.3f})"
    )


def _threshold(guarantee: CalibratedGuarantee) -> float:
    return guarantee.threshold


def _unlike_words(unlike_training: float | None) -> str:
    share = "all" if unlike_training == 1 else f"{unlike_training:.1%}"
    return f"the image is unlike what these heads learned from (further than {share} of it)"
