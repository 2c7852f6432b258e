"""What the mini models are taught: masks by the best of three proposals, SamScores by true IoU."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Criterion = Literal["balanced", "overlap"]
"""Loss of a proposal: cross-entropy that weighs inside and outside equally, or focal and dice."""

FOCAL_WEIGHT: Final = 5.0
"""Weight of the focal loss relative to dice."""

OTHERS_WEIGHT: Final[Mapping[Criterion, float]] = {"balanced": 1.0, "overlap": 0.05}
"""Weight of the mean over all proposals relative to the best one. Without it, proposals that never
win learn nothing, and a model that should learn from clicks can offer three guesses instead."""

MEMBER: Final = 0.5
"""A downscaled pixel belongs to a mask that covers more than this share of it."""

Proposals = Float[Tensor, "row proposal y x"]
PerProposal = Float[Tensor, "row proposal"]


@dataclass(frozen=True)
class Lesson:
    """The loss of a batch, and how good its proposals are."""

    loss: Float[Tensor, ""]
    best_iou: float
    selected_iou: float


def assess(
    logits: Proposals,
    sam_score: PerProposal,
    mask: Float[Tensor, "row size size"],
    criterion: Criterion,
) -> Lesson:
    """Compare proposals with masks of the image's size, at twice the size of the logits.

    Notes
    -----
    Minimum over the proposals, plus ``OTHERS_WEIGHT`` times their mean, plus L1 between SamScore
    and IoU of every proposal. Masks are downscaled by area, so that thin objects do not vanish.
    """
    side = 2 * logits.shape[-1]
    target = functional.adaptive_avg_pool2d(mask[:, None], side)
    raised = functional.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
    per_proposal = (
        _balanced(raised, target) if criterion == "balanced" else _overlap(raised, target)
    )
    mask_loss = per_proposal.min(dim=1).values + OTHERS_WEIGHT[criterion] * per_proposal.mean(dim=1)
    iou = _iou(raised, target)
    chosen = sam_score.argmax(dim=1, keepdim=True)
    return Lesson(
        loss=mask_loss.mean() + (sam_score - iou).abs().mean(),
        best_iou=float(iou.amax(dim=1).mean()),
        selected_iou=float(iou.gather(1, chosen).mean()),
    )


def _balanced(logits: Proposals, target: Float[Tensor, "row 1 y x"]) -> PerProposal:
    """Cross-entropy that finds the click's place from random weights, where focal and dice do not.

    Those first learn that most pixels are background, and there dice has no gradient.
    """
    other = 1 - target
    weight = target / (target.sum((2, 3), keepdim=True) + 1) + other / (
        other.sum((2, 3), keepdim=True) + 1
    )
    return (weight * _cross_entropy(logits, target)).sum((2, 3))


def _overlap(logits: Proposals, target: Float[Tensor, "row 1 y x"]) -> PerProposal:
    """Focal loss (Lin et al. 2017, γ = 2) of soft targets, and dice."""
    p = logits.sigmoid()
    missed = p + target - 2 * p * target
    focal = (missed**2 * _cross_entropy(logits, target)).mean((2, 3))
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / (p.sum((2, 3)) + target.sum((2, 3)) + 1)
    return FOCAL_WEIGHT * focal + dice


def _cross_entropy(logits: Proposals, target: Float[Tensor, "row 1 y x"]) -> Proposals:
    return functional.softplus(logits) - logits * target


@torch.no_grad()
def _iou(logits: Proposals, target: Float[Tensor, "row 1 y x"]) -> PerProposal:
    seen, true = logits > 0, target > MEMBER
    return (seen & true).sum((2, 3)) / (seen | true).sum((2, 3)).clamp(min=1)
