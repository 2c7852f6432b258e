"""Decides what may be said about the masks of a prompt, and advises on the selected one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Final

from pipeline.heads.scope import (
    BEST_OF_THREE,
    DRAWN_ONLY,
    DRAWN_SHAPES,
    OF_SETS,
    OUT_OF_DISTRIBUTION,
    CalibratedGuarantee,
    ChoiceGain,
)
from pipeline.mask_choices import LEAST_IMAGES
from pipeline.predictor.advice import KEEP, NONE, Advice, Costs, advise
from pipeline.predictor.proposal_heads import ProposalHeads
from pipeline.scoring.evidence import HeadPredictions

CHOOSES_NOTHING: Final = "these heads do not choose among masks"

NO_HEADS: Final = "there are no heads"

UNTESTED_CHOICE: Final = "the choice of masks was not tested for such prompts"


@dataclass(frozen=True)
class Permission:
    """What may be said about the masks of a prompt, given what heads and guarantees know."""

    unlike_training: float | None
    """Share of the heads' training images that are nearer to the other training images than this
    image is; None if unknown."""
    advises: bool
    """Whether a correction may be advised."""
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


def permitted(
    heads: ProposalHeads,
    prompts: Collection[str],
    *,
    unlike_training: float | None,
    prompt_caution: str = "",
) -> Permission:
    """Decide which statements about the masks of a prompt the heads and guarantees allow.

    For an image that is unlike the training images, no advice, guarantee or choice is allowed.
    Guarantees and choices hold only for the prompt sets on which they were measured.

    Parameters
    ----------
    prompts
        Names of the prompt sets to which the prompt may belong; empty for a prompt of another kind,
        such as a click of a grid.
    unlike_training
        Share of the training images that are nearer to the other training images than this image
        is; None if the share is unknown: then the image counts as similar to them.
    prompt_caution
        Why the heads may be wrong about this prompt; only added to the cautions. May be empty.

    Notes
    -----
    Under a guarantee of 10 % that was calibrated on clicks, 9.6 % of the masks were kept and fell
    short for clicks, but 14.9 % for boxes and 20.1 % for corrections. Of several valid guarantees,
    the strictest applies.

    Heads of kind ``paper`` and protocol ``selected`` know selected masks alone, and choose none.
    Their advice to take another proposal, given for 36 of 204 objects of fresh scenes, changed the
    mean IoU by -0.088 (-0.135 to -0.040). That of heads that learned from best proposals, given for
    328 of 1,039 objects, changed it by -0.085.
    """
    if heads.head_set is None:
        return Permission(
            unlike_training=None,
            advises=False,
            choice=None,
            no_choice=NO_HEADS,
            about_masks=None,
            about_sets=None,
            cautions=tuple(filter(None, [heads.no_heads])),
        )
    is_unlike = unlike_training is not None and unlike_training > OUT_OF_DISTRIBUTION
    valid = [
        guarantee
        for guarantee in heads.guarantees
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
        heads.untested,
        "" if heads.head_set.protocol == "selected" else BEST_OF_THREE,
        prompt_caution,
    )
    choice, no_choice = _offered_choice(heads.choices, prompts, is_unlike=is_unlike)
    return Permission(
        unlike_training=unlike_training,
        advises=not is_unlike,
        choice=choice,
        no_choice=no_choice,
        # Of several guarantees, the strictest keeps fewest masks, and its sets are largest.
        about_masks=min(about_masks, key=attrgetter("threshold"), default=None),
        about_sets=min(about_sets, key=attrgetter("threshold"), default=None),
        cautions=tuple(filter(None, cautions)),
    )


def _offered_choice(
    choices: Sequence[ChoiceGain], prompts: Collection[str], *, is_unlike: bool
) -> tuple[ChoiceGain | None, str]:
    """Decide whether the heads' choice of masks is offered for a prompt.

    Parameters
    ----------
    choices
        Calibrated gains of the heads' choice from the model's masks, one for each prompt set.
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
    weakest = min(of_prompts, key=attrgetter("low"))
    if weakest.is_sure:
        return weakest, ""
    if weakest.n_images < LEAST_IMAGES:
        return None, (
            f"a gain is calibrated on at least {LEAST_IMAGES} held-out training images, and these "
            f"heads had {weakest.n_images}"
        )
    return None, (
        "on held-out training images, the choice of masks gained no sure IoU from such prompts: "
        f"{weakest.gain:+.3f} ({weakest.low:+.3f} to {weakest.high:+.3f})"
    )


def _unlike_words(unlike_training: float | None) -> str:
    share = "all" if unlike_training == 1 else f"{unlike_training:.1%}"
    return f"the image is unlike what these heads learned from (further than {share} of it)"


def decide(
    predictions: HeadPredictions | None,
    proposal: int,
    costs: Costs,
    *,
    permission: Permission,
    chosen_gain: float = 0.0,
) -> tuple[Advice, bool | None]:
    """Advise on a proposal as far as permitted, and tell whether a guarantee keeps it.

    Parameters
    ----------
    proposal
        Index of the proposal, in decoder order.
    permission
        Statements that are allowed about the prompt's masks.
    chosen_gain
        Calibrated gain of the chosen mask; 0 if the selected mask is chosen, or if none may be.

    Returns
    -------
    The advice, with the correction ``NONE`` where no advice is permitted, without heads, or if they
    cannot compare proposals and advise to keep one, which may be the worst of three; and whether a
    guarantee keeps the proposal, None without a guarantee.
    """
    if predictions is None:
        return Advice(NONE, 0.0, None, {}), None
    own_iou = float(predictions.own[proposal])
    advice = advise_on(predictions, proposal, costs, chosen_gain)
    if not permission.advises or (advice.correction == KEEP and "task" not in predictions.gaps):
        advice = Advice(NONE, 0.0, own_iou, {})
    elif DRAWN_ONLY in permission.cautions:
        advice = replace(advice, holds_for=DRAWN_SHAPES)
    guarantee = permission.about_masks
    # Compared as in the calibration: 1 - (1 - IoU) may have other last bits than the IoU.
    return advice, None if guarantee is None else 1 - own_iou <= guarantee.threshold


def advise_on(
    predictions: HeadPredictions, proposal: int, costs: Costs, chosen_gain: float = 0.0
) -> Advice:
    """Advise a correction of a proposal from the predictions about it.

    ``chosen_gain`` is the calibrated gain of a chosen mask that may be advised; 0 if none may be.

    Notes
    -----
    The direct gap of the model is the gain of the largest model over the smallest. So it is the
    gain for proposals of the smallest model only; for those of other models, the gain is a
    difference of expected IoUs. The largest model gains 0 over itself. A single model has no such
    correction.
    """
    own_iou, direct_gaps = float(predictions.own[proposal]), predictions.direct_gaps
    gains = {"prompt": float(direct_gaps["prompt"][proposal])}
    if "model" in direct_gaps:
        smallest, *_, largest = predictions.models
        gains["model"] = float(direct_gaps["model"][proposal])
        if predictions.model != smallest:
            gains["model"] = float(predictions.models[largest][proposal]) - own_iou
    if chosen_gain > 0:
        gains["task"] = chosen_gain
    return advise(own_iou, gains, costs)
