"""Loss of a member on a batch: of the first prompts, then of rounds of corrections."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.predictor.uncertainty import bounded
from tools.family.batches import Batch
from tools.family.forward import Answer, Network, Prompts, decode, encode
from tools.family.loss import (
    MEMBER,
    Criterion,
    Target,
    doubled,
    gain_loss,
    halved,
    mask_loss,
    object_loss,
)
from tools.family.prompts import correct

SINGLE: Final = slice(0, 1)
PROPOSALS: Final = slice(1, None)
"""Masks of an answer."""


@dataclass(frozen=True)
class Round:
    """An answer to the prompts of a round, and the true masks."""

    prompts: Prompts
    answer: Answer
    target: Target


def batch_loss(
    model: Network, batch: Batch, criterion: Criterion, gain_weight: float = 0.0
) -> Float[Tensor, ""]:
    """Loss of a batch.

    Notes
    -----
    Without corrections, the three proposals of the first prompts are all that is taught. With them,
    the single mask and the object score are, too, in every round, and every prompt set of a round
    counts the same. Where the click is on no object, only the object score is taught.
    """
    rounds = decode_rounds(model, batch)
    first = next(rounds)
    if batch.corrections is None:
        raised, scores = doubled(first.answer.logits[:, PROPOSALS]), first.answer.sam_score
        return mask_loss(raised, scores[:, PROPOSALS], first.target, criterion)
    loss = round_loss(first, criterion)
    for later in rounds:
        share = len(later.target) / len(first.target)
        loss = loss + share * (round_loss(later, criterion) + gain_weight * _gain_loss(later))
    return loss


def decode_rounds(model: Network, batch: Batch) -> Iterator[Round]:
    """Encode the images once, and decode round after round.

    Notes
    -----
    As SAM2 is used, what is corrected is the selected proposal after a single click, and the single
    mask after all else. No gradient goes from a round to the one before.
    """
    encoded = encode(model, batch.rgb, batch.frame)
    target = halved(torch.from_numpy(batch.mask).float())
    prompts = Prompts(batch.point_px, batch.label)
    answer = decode(model, encoded, prompts)
    yield Round(prompts, answer, target)
    drawn = batch.corrections
    if drawn is None:
        return
    generator = np.random.default_rng(drawn.seed)
    rows = np.arange(len(target)).reshape(len(batch.rgb), -1)[:, : drawn.plan.n_objects].ravel()
    target = target[rows]
    prompts = Prompts(batch.point_px[rows], batch.label[rows])
    logits = _selected(answer) if batch.point_px.shape[1] == 1 else answer.logits[:, SINGLE]
    logits = logits[rows]
    for _ in range(drawn.n_rounds):
        mask_input = bounded(logits.detach()) if drawn.is_mask_given else None
        raised = doubled(logits.detach())
        prompts = _corrected(
            generator, prompts, raised, target, mask_input, drawn.plan.central_share
        )
        answer = decode(model, encoded, prompts)
        yield Round(prompts, answer, target)
        logits = answer.logits[:, SINGLE]


def _selected(answer: Answer) -> Float[Tensor, "row 1 y x"]:
    """Proposals with the highest SamScore."""
    chosen = answer.sam_score[:, PROPOSALS].argmax(dim=1)
    return answer.logits[:, PROPOSALS][torch.arange(len(chosen)), chosen][:, None]


def _corrected(
    generator: np.random.Generator,
    prompts: Prompts,
    raised: Float[Tensor, "row 1 y x"],
    target: Target,
    mask_input: Float[Tensor, "row 1 y x"] | None,
    central_share: float,
) -> Prompts:
    """Prompts of a round with one more click each, where the mask is wrong."""
    predicted, true = ((raised > 0)[:, 0].numpy(), (target > MEMBER)[:, 0].numpy())
    pixels, labels = correct(generator, predicted, true, central_share)
    # The middle of two by two pixels of the image.
    point_px = 2 * pixels.astype(np.float32) + np.float32(0.5)
    return Prompts(
        np.concatenate([prompts.point_px, point_px[:, None]], axis=1),
        np.concatenate([prompts.label, labels[:, None]], axis=1),
        mask_input,
    )


def round_loss(answered: Round, criterion: Criterion) -> Float[Tensor, ""]:
    """Loss of all four masks and the object score."""
    is_object = answered.target.amax((1, 2, 3)) > 0
    raised, scores = (
        doubled(answered.answer.logits)[is_object],
        answered.answer.sam_score[is_object],
    )
    target = answered.target[is_object]
    three = mask_loss(raised[:, PROPOSALS], scores[:, PROPOSALS], target, criterion)
    single = mask_loss(raised[:, SINGLE], scores[:, SINGLE], target, criterion)
    return three + single + object_loss(answered.answer.object_score, is_object)


def _gain_loss(answered: Round) -> Float[Tensor, ""]:
    """Loss of the gain of a correction over the input mask; 0 without object or input mask."""
    if answered.prompts.logits is None:
        return torch.zeros(())
    is_object = answered.target.amax((1, 2, 3)) > 0
    before, after = answered.prompts.logits[is_object], answered.answer.logits[is_object, SINGLE]
    return gain_loss(doubled(before), doubled(after), answered.target[is_object])
