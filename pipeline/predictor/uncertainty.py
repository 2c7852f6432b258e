"""How wrong the masks of a prompt may be, and why: prompt sets decoded together and read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from pipeline.entropy.mixtures import mask_entropy
from pipeline.entropy.plan import task_probability
from pipeline.extraction.predictions import encode_logits
from pipeline.masks import decode
from pipeline.predictor.advice import Advice, advise
from pipeline.predictor.images import masks_at_image
from pipeline.predictor.proposal_heads import (
    ExpectedIou,
    Gaps,
    Judgement,
    ProposalHeads,
    judge_proposals,
)
from pipeline.sam.model import Decoded
from pipeline.vocabulary import MODELS

LARGEST: Final = MODELS[-1]

LOGIT_BOUND: Final = 32
"""Low-resolution logits are returned within this bound, as ``SAM2ImagePredictor`` does."""


@dataclass(frozen=True)
class Uncertainty:
    """Three proposals for one prompt set in decoder order, and what is expected of each."""

    masks: Bool[np.ndarray, "proposal height width"]
    """At the size of the image."""
    sam_score: Float32[np.ndarray, " proposal"]
    """IoU that the decoder predicts."""
    logits: Float32[np.ndarray, "proposal y x"]
    """At low resolution, as ``predict`` takes and returns them."""
    probability: Float32[np.ndarray, "proposal y x"]
    """Foreground probability at low resolution, in the 256 steps of the cache."""
    expected_iou: ExpectedIou
    gap: Gaps
    """Δ: gains as the differences of two expected IoUs."""
    direct_gap: Gaps
    """Δ*: gains as heads predict them that learned the gain itself."""
    h_std: Float64[np.ndarray, " proposal"]
    """H_Std: entropy of each mask, in bits."""
    h_a: float
    """H_A: entropy of the mean of the three masks, weighted by SamScore, in bits."""
    advice: Advice
    """About the selected proposal."""
    is_kept: bool | None
    """Whether the gate of the heads keeps the selected proposal; None if they have no gate."""
    caution: str
    """Why the heads may be wrong about such a prompt; empty for those they learned from."""

    @property
    def selected(self) -> int:
        """The proposal with the highest SamScore."""
        return int(self.sam_score.argmax())

    @property
    def alternative(self) -> int:
        """The proposal with the highest expected IoU of the two that are not selected."""
        order = np.argsort(-self.expected_iou.own, kind="stable")
        return int(order[order != self.selected][0])

    @property
    def pixel_entropy(self) -> Float32[np.ndarray, "proposal y x"]:
        """Entropy of each pixel in bits, at low resolution.

        Its mean, weighted by ``probability``, is ``h_std``.
        """
        p = self.probability
        q = 1 - p
        # 0 log 0 is 0: such a pixel is sure.
        bits: Float32[np.ndarray, "proposal y x"] = -(
            p * np.log2(np.where(p > 0, p, 1)) + q * np.log2(np.where(q > 0, q, 1))
        )
        return bits


def read_uncertainty(
    decoded: Decoded,
    heads: ProposalHeads,
    *,
    size_px: tuple[int, int],
    good_iou: float,
    cautions: Sequence[str],
) -> Iterator[Uncertainty]:
    """One prompt set after the other: the masks of many, at the size of the image, fill a memory.

    Notes
    -----
    Entropies are those of the probabilities that the cache would store, so that both say the same.
    """
    judgement = judge_proposals(heads, decoded)
    probability = decode(encode_logits(decoded.logits).cpu().numpy())
    sam_score = decoded.sam_score.cpu().numpy()
    h_std, h_a = mask_entropy(probability), _mixed_entropy(probability, sam_score)
    for i, logits in enumerate(decoded.logits):
        selected = int(sam_score[i].argmax())
        own = judgement.of(i)
        yield Uncertainty(
            masks=masks_at_image(logits[None], size_px)[0],
            sam_score=sam_score[i],
            logits=bounded(logits).cpu().numpy(),
            probability=probability[i],
            expected_iou=own.expected_iou,
            gap=own.gap,
            direct_gap=own.direct_gap,
            h_std=h_std[i],
            h_a=float(h_a[i]),
            advice=advise_on(own, selected, good_iou),
            is_kept=is_kept(own, selected, heads.least_iou),
            caution=cautions[i],
        )


def is_kept(judgement: Judgement, proposal: int, least_iou: float | None) -> bool | None:
    """Whether a gate keeps a proposal; None without a gate."""
    if least_iou is None:
        return None
    return bool(judgement.expected_iou.own[proposal] >= least_iou)


def bounded(logits: Float[Tensor, "*batch y x"]) -> Float[Tensor, "*batch y x"]:
    """Logits as a later prompt takes them for its mask."""
    return logits.clamp(-LOGIT_BOUND, LOGIT_BOUND)


def _mixed_entropy(
    probability: Float32[np.ndarray, "prompt proposal y x"],
    sam_score: Float32[np.ndarray, "prompt proposal"],
) -> Float64[np.ndarray, " prompt"]:
    """H_A, Eq. 7."""
    mean = np.einsum("pk,pkyx->pyx", task_probability(sam_score), probability)
    return mask_entropy(mean.clip(0, 1))


def advise_on(judgement: Judgement, proposal: int, good_iou: float) -> Advice:
    """What to do with one of some proposals."""
    expected = {
        name: float(values[proposal]) for name, values in vars(judgement.expected_iou).items()
    }
    own = expected["own"]
    reached = {
        "model": expected[LARGEST],  # of the largest itself, this is its own: it gains nothing
        "prompt": expected["refined"],
        "task": own + float(judgement.gap.task[proposal]),
    }
    return advise(own, reached, good_iou=good_iou)
