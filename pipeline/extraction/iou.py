"""IoUs of predicted masks with the ground truth, and stability scores, at image resolution."""

import math
from typing import Final

from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.masks import CUT, CUTS
from pipeline.upsampling import count_pixels

STABILITY_OFFSET: Final = 1.0
"""Distance of the two cuts of a stability score from logit 0; the default of SAM2's generator."""

_CUT_LOGITS: Final = tuple(math.log(cut / (1 - cut)) for cut in CUTS)


def iou_arrays(
    logits: Float[Tensor, "prompt proposal y x"],
    ground_truth: Bool[Tensor, "prompt height width"],
    *,
    with_cuts: bool,
) -> dict[str, Tensor]:
    """IoUs of masks with the ground truth; on request, IoUs at every cut and stability scores.

    Parameters
    ----------
    logits
        Logits of low-resolution masks, in the unaugmented frame.
    ground_truth
        True mask of each prompt set's object, at the size of the image, not empty.
    with_cuts
        Whether to compute ``iou_at_cut`` and ``stability_score``, too.

    Returns
    -------
    Arrays by their names in the cache: ``iou`` (prompt, proposal) and, with cuts, ``iou_at_cut``
    (prompt, proposal, cut), in the order of ``CUTS``, and ``stability_score`` (prompt, proposal).

    Notes
    -----
    A cut at the probability c is a cut of the upsampled logits at log(c / (1 - c)). The stability
    score is that of ``SAM2AutomaticMaskGenerator``: the IoU of the masks cut at logits 1 and -1, at
    the resolution of the image. It is 0 where no logit lies above -1: there the generator divides 0
    by 0, and drops the mask.
    """
    if not with_cuts:
        above, shared = count_pixels(logits, ground_truth, (0.0,))
        return {"iou": _iou(above, shared, ground_truth)[..., 0]}
    cuts = (*_CUT_LOGITS, STABILITY_OFFSET, -STABILITY_OFFSET)
    above, shared = count_pixels(logits, ground_truth, cuts)
    inner, outer = above[..., -2], above[..., -1]
    ious = _iou(above[..., :-2], shared[..., :-2], ground_truth)
    return {
        "iou": ious[..., CUTS.index(CUT)],
        "iou_at_cut": ious,
        "stability_score": (inner.double() / outer.clamp(min=1)).float(),
    }


def _iou(
    above: Int[Tensor, "prompt proposal cut"],
    shared: Int[Tensor, "prompt proposal cut"],
    ground_truth: Bool[Tensor, "prompt height width"],
) -> Float[Tensor, "prompt proposal cut"]:
    area = ground_truth.flatten(1).sum(1)[:, None, None]
    return (shared.double() / (above + area - shared)).float()
