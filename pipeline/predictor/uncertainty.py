"""Three proposals for one prompt, how wrong each may be, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from pipeline.entropy.mixtures import mask_entropy
from pipeline.entropy.plan import task_probability
from pipeline.extraction.predictions import encode_logits
from pipeline.heads.scope import Permission
from pipeline.mask_sets import mask_set
from pipeline.masks import decode
from pipeline.predictor import coco_masks
from pipeline.predictor.advice import Advice, Costs
from pipeline.predictor.judgement import (
    ExpectedIou,
    Gaps,
    Judgement,
    alternative_to,
    decide,
    judge,
)
from pipeline.predictor.postprocessing import Postprocessing
from pipeline.predictor.proposal_heads import (
    ProposalHeads,
    predict_proposals,
    proposal_inputs,
)
from pipeline.sam.model import Decoded

LOGIT_BOUND: Final = 32
"""Low-resolution logits are returned within this bound, as ``SAM2ImagePredictor`` does."""


def bounded(logits: Float[Tensor, "*batch y x"]) -> Float[Tensor, "*batch y x"]:
    """Logits within ``LOGIT_BOUND``, as a later prompt takes them for its mask."""
    return logits.clamp(-LOGIT_BOUND, LOGIT_BOUND)


@dataclass(frozen=True)
class Uncertainty:
    """Three proposals for one prompt set in decoder order, and how wrong each may be."""

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
    """Δ*: gains that heads learned themselves."""
    h_std: Float64[np.ndarray, " proposal"]
    """H_Std: entropy of each mask, in bits."""
    h_a: float
    """H_A: entropy of the mean of the three masks, weighted by SamScore, in bits."""
    advice: Advice
    """About the selected proposal."""
    is_kept: bool | None
    """Whether a guarantee keeps the selected proposal; None without a guarantee about such prompts,
    and for an image out of the distribution of the heads."""
    mask_set: tuple[int, ...] | None
    """The fewest proposals of which one is good enough, the one with the highest expected IoU
    first; None without a guarantee about such prompts, and for an image out of the distribution of
    the heads."""
    unlike_training: float | None
    """Share of the training images of the heads that are nearer to the others than this image is;
    None if that is unknown."""
    permission: Permission
    """Statements that the scope of the heads and their guarantees allows."""
    caution: str
    """Why the heads may be wrong about this image or prompt; may be empty."""

    @property
    def selected(self) -> int:
        """The proposal with the highest SamScore."""
        return int(self.sam_score.argmax())

    @property
    def alternative(self) -> int:
        """The proposal with the highest expected IoU of the two that are not selected."""
        return alternative_to(self.selected, self.expected_iou.own)

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

    def to_dict(self) -> dict[str, Any]:
        """All fields except the arrays of pixels, for JSON; masks as COCO's RLE and polygons."""
        proposals = [
            {
                **self.proposal_values(k),
                "area_px": int(mask.sum()),
                "segmentation": coco_masks.rle(mask),
                "polygons": coco_masks.polygons(mask),
            }
            for k, mask in enumerate(self.masks)
        ]
        return {**self.prompt_values(), "proposals": proposals}

    def prompt_values(self) -> dict[str, Any]:
        """Values about all proposals together, for JSON."""
        return {
            "selected": self.selected,
            "alternative": self.alternative,
            "advice": self.advice.to_dict(),
            "is_kept": self.is_kept,
            "mask_set": None if self.mask_set is None else list(self.mask_set),
            "unlike_training": self.unlike_training,
            "caution": self.caution or None,
            "h_a": self.h_a,
        }

    def proposal_values(self, proposal: int) -> dict[str, Any]:
        """Scores of one proposal, for JSON."""
        judgement = Judgement(self.expected_iou, self.gap, self.direct_gap)
        return {
            "sam_score": float(self.sam_score[proposal]),
            "h_std": float(self.h_std[proposal]),
            **judgement.values_of(proposal),
        }


def read_uncertainty(
    decoded: Decoded,
    heads: ProposalHeads,
    *,
    size_px: tuple[int, int],
    costs: Costs,
    unlike_training: float | None,
    permissions: Sequence[Permission],
    postprocessing: Postprocessing,
) -> Iterator[Uncertainty]:
    """One prompt set at a time: masks of many, at the size of the image, would fill the memory.

    Parameters
    ----------
    unlike_training
        See ``Uncertainty``.
    permissions
        Statements that are allowed about each prompt set.

    Notes
    -----
    Entropies are computed from the probabilities that the cache would store, so that both agree.
    """
    sam_score = decoded.sam_score.cpu().numpy()
    predicted = predict_proposals(heads, proposal_inputs(heads, decoded), sam_score)
    probability = decode(encode_logits(decoded.logits).cpu().numpy())
    mixed = np.einsum("pk,pkyx->pyx", task_probability(sam_score), probability)
    h_std, h_a = mask_entropy(probability), mask_entropy(mixed.clip(0, 1))
    for i, (logits, permission) in enumerate(zip(decoded.logits, permissions, strict=True)):
        judgement = judge(heads, {name: values[i] for name, values in predicted.items()})
        iou = judgement.expected_iou.own
        selected = int(sam_score[i].argmax())
        advice, is_kept = decide(
            judgement,
            selected,
            heads,
            costs,
            permission=permission,
            alternative=alternative_to(selected, iou),
        )
        least_doubt = permission.least_doubt
        yield Uncertainty(
            masks=postprocessing.masks_at(logits[None], size_px)[0],
            sam_score=sam_score[i],
            logits=bounded(logits).cpu().numpy(),
            probability=probability[i],
            **vars(judgement),
            h_std=h_std[i],
            h_a=float(h_a[i]),
            advice=advice,
            is_kept=is_kept,
            mask_set=None if least_doubt is None else mask_set(iou, least_doubt),
            unlike_training=unlike_training,
            permission=permission,
            caution="; ".join(filter(None, (permission.caution, postprocessing.caution))),
        )
