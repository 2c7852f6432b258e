"""SAM2's single mask of a prompt or, where it is not stable, the selected proposal instead."""

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.predictor.prompts import DecoderPrompts
from pipeline.sam.model import Embedding, Sam

STABILITY_DELTA: Final = 0.05
"""Logits within which a pixel may change sides."""

LEAST_STABILITY: Final = 0.98
"""IoU of the masks that are cut at both, from which the single mask is taken."""


def single_masks(
    sam: Sam, embedding: Embedding, prompts: DecoderPrompts
) -> tuple[Float[Tensor, "prompt 1 y x"], Float[Tensor, "prompt 1"]]:
    """Logits and SamScore of one mask for each prompt set.

    Notes
    -----
    ``dynamic_multimask_via_stability`` of ``sam2``'s decoder, with the numbers of its
    ``build_sam2``. The proposals are decoded only where they are needed, in a second call.
    """
    single = sam.decode(embedding, **vars(prompts), multimask_output=False)
    is_stable = _is_stable(single.logits)
    if is_stable.all():
        return single.logits, single.sam_score
    three = sam.decode(embedding, **vars(prompts))
    selected, sam_score = three.selected_logits[:, None], three.sam_score.amax(1, keepdim=True)
    return (
        torch.where(is_stable[..., None, None], single.logits, selected),
        torch.where(is_stable, single.sam_score, sam_score),
    )


def _is_stable(logits: Float[Tensor, "prompt 1 y x"]) -> Bool[Tensor, "prompt 1"]:
    inner, outer = ((logits > cut).sum((-2, -1)) for cut in (STABILITY_DELTA, -STABILITY_DELTA))
    # An empty mask is stable.
    return torch.where(outer > 0, inner / outer, 1) >= LEAST_STABILITY
