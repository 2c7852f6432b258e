"""Figures of the proposals' masks, and all that heads read of predictions that no store holds."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from pipeline.heads.kinds import HeadKind
from pipeline.sam.model import Decoded
from pipeline.vocabulary import PROPOSAL_PAIRS

_LN2: Final = float(np.log(2))


def mask_figures(logits: Float[Tensor, "prompt proposal y x"]) -> dict[str, Tensor]:
    """Figures of every proposal, and of every pair of them, by their names in the cache.

    Parameters
    ----------
    logits
        Logits of the low-resolution masks, in the unaugmented frame.

    Returns
    -------
    ``area``, ``mask_entropy`` and ``confidence``: arrays ``(prompt, proposal)``; ``agreement``:
    ``(prompt, pair)`` in the order of ``PROPOSAL_PAIRS``.

    Notes
    -----
    With p the foreground probability of a pixel and m = [p > 0.5], of the logit itself: the mean of
    p; sum(p h2(p)) / sum(p), as Eq. 3, in bits; soft Dice confidence 2 sum(p m) / sum(p + m)
    (arXiv 2402.10665); soft Dice 2 sum(p q) / sum(p^2 + q^2) of two proposals p and q, which is 1
    if they are the same. Each is 0 where its divisor is.
    """
    flat = logits.flatten(-2)
    p = flat.sigmoid()
    total = p.sum(-1)
    # p h2(p) in nats: -ln p = softplus(-z) = softplus(z) - z and -ln(1 - p) = softplus(z).
    entropy = (p * (softplus(flat) - p * flat)).sum(-1) / _LN2
    is_inside = flat > 0
    shared = torch.where(is_inside, p, 0).sum(-1)
    products = torch.matmul(p, p.mT)
    squares = products.diagonal(dim1=-2, dim2=-1)
    pairs = [(products[:, i, j], squares[:, i] + squares[:, j]) for i, j in PROPOSAL_PAIRS]
    shares, sums = (torch.stack(side, dim=1) for side in zip(*pairs, strict=True))
    return {
        "area": total / flat.shape[-1],
        "mask_entropy": _ratio(entropy, total),
        "confidence": _ratio(2 * shared, total + is_inside.sum(-1)),
        "agreement": _ratio(2 * shares, sums),
    }


def arrays_for_heads(decoded: Decoded, kind: HeadKind) -> dict[str, np.ndarray]:
    """Arrays that heads of a kind read, a row for each prompt set; IoUs are unknown, and 0."""
    tensors = {
        "iou_token": decoded.iou_token,
        "mask_token": decoded.mask_token,
        "sam_score": decoded.sam_score,
        "object_score": decoded.object_score,
    }
    if "figures" in kind.inputs:
        tensors |= mask_figures(decoded.logits)
    arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    return arrays | {"iou": np.zeros_like(arrays["sam_score"])}


def _ratio(
    dividend: Float[Tensor, "prompt part"], divisor: Float[Tensor, "prompt part"]
) -> Float[Tensor, "prompt part"]:
    return dividend / divisor.clamp(min=torch.finfo(divisor.dtype).tiny)
