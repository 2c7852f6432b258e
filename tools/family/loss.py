"""What the mini models are taught: masks by the best of some, SamScores by true IoU."""

from collections.abc import Mapping
from typing import Final, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

Criterion = Literal["balanced", "overlap"]
"""Loss of a mask: cross-entropy that weighs inside and outside equally, or focal and dice."""

FOCAL_WEIGHT: Final = 5.0
"""Weight of the focal loss relative to dice."""

OTHERS_WEIGHT: Final[Mapping[Criterion, float]] = {"balanced": 1.0, "overlap": 0.05}
"""Weight of the mean over all proposals relative to the best one. Without it, proposals that never
win learn nothing, and a model that should learn from clicks can offer three guesses instead."""

OBJECT_WEIGHT: Final = 0.2
"""Weight of the object score relative to dice."""

GAIN_MARGIN: Final = 0.1
"""Gain of a correction from which its loss falls slowly, as a share of what there is to gain."""

GAIN_SCALE: Final = 0.2
"""Width of the bend of that loss."""

GAIN_FLOOR: Final = 0.03
"""IoU that even a perfect mask is taken to lack, so that trifles do not count as much."""

STEEPNESS: Final = 3.0
"""Factor of logits, with which a soft IoU is close to that of the mask cut at 0."""

MEMBER: Final = 0.5
"""A downscaled pixel belongs to a mask that covers more than this share of it."""

Proposals = Float[Tensor, "row proposal y x"]
PerProposal = Float[Tensor, "row proposal"]
Target = Float[Tensor, "row 1 y x"]


def halved(mask: Float[Tensor, "row size size"]) -> Target:
    """Masks at half their side, by area, so that thin objects do not vanish."""
    return functional.adaptive_avg_pool2d(mask[:, None], mask.shape[-1] // 2)


def doubled(logits: Proposals) -> Proposals:
    """Logits at twice their side, which is half of the image's."""
    side = 2 * logits.shape[-1]
    return functional.interpolate(logits, (side, side), mode="bilinear", align_corners=False)


def mask_loss(
    raised: Proposals, sam_score: PerProposal, target: Target, criterion: Criterion
) -> Float[Tensor, ""]:
    """Loss of proposals, or of a single mask, whose truth has the same size.

    Notes
    -----
    Minimum over the proposals, plus ``OTHERS_WEIGHT`` times their mean, plus L1 between SamScore
    and IoU of every proposal.
    """
    per_proposal = (
        _balanced(raised, target) if criterion == "balanced" else _overlap(raised, target)
    )
    loss = per_proposal.min(dim=1).values + OTHERS_WEIGHT[criterion] * per_proposal.mean(dim=1)
    return loss.mean() + (sam_score - _iou(raised, target)).abs().mean()


def object_loss(
    object_score: Float[Tensor, " row"], is_object: Bool[Tensor, " row"]
) -> Float[Tensor, ""]:
    """Cross-entropy of whether there is an object at the prompt, weighed for the sum."""
    return OBJECT_WEIGHT * functional.binary_cross_entropy_with_logits(
        object_score, is_object.float()
    )


def gain_loss(before: Proposals, after: Proposals, target: Target) -> Float[Tensor, ""]:
    """Loss of what a correction gains: softplus of how much the gain falls short of a margin.

    Notes
    -----
    The gain is relative to what the mask before lacks: otherwise a mask that is nearly right, whose
    next correction should win a sliver, would hardly count.
    """
    true = (target > MEMBER).float()
    was = _soft_iou(before, true).detach()
    gain = (_soft_iou(after, true) - was) / (1 - was + GAIN_FLOOR)
    return GAIN_SCALE * functional.softplus((GAIN_MARGIN - gain) / GAIN_SCALE).mean()


def _soft_iou(logits: Proposals, true: Target) -> PerProposal:
    p = (STEEPNESS * logits).sigmoid()
    shared = (p * true).sum((2, 3))
    return shared / (p.sum((2, 3)) + true.sum((2, 3)) - shared + 1)


def _balanced(logits: Proposals, target: Target) -> PerProposal:
    """Cross-entropy that finds the click's place from random weights, where focal and dice do not.

    Focal loss and dice first learn that most pixels are background, where dice has no gradient.
    """
    background = 1 - target
    weight = target / (target.sum((2, 3), keepdim=True) + 1) + background / (
        background.sum((2, 3), keepdim=True) + 1
    )
    return (weight * _cross_entropy(logits, target)).sum((2, 3))


def _overlap(logits: Proposals, target: Target) -> PerProposal:
    """Focal loss (Lin et al. 2017, γ = 2) of soft targets, and dice."""
    p = logits.sigmoid()
    missed = p + target - 2 * p * target
    focal = (missed**2 * _cross_entropy(logits, target)).mean((2, 3))
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / (p.sum((2, 3)) + target.sum((2, 3)) + 1)
    return FOCAL_WEIGHT * focal + dice


def _cross_entropy(logits: Proposals, target: Target) -> Proposals:
    return functional.softplus(logits) - logits * target


@torch.no_grad()
def _iou(logits: Proposals, target: Target) -> PerProposal:
    predicted, true = logits > 0, target > MEMBER
    return (predicted & true).sum((2, 3)) / (predicted | true).sum((2, 3)).clamp(min=1)
