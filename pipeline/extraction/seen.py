"""What heads read of predictions that no store holds."""

import numpy as np

from pipeline.extraction.figures import mask_figures
from pipeline.heads.kinds import HeadKind
from pipeline.sam.model import Decoded


def seen_of(decoded: Decoded, kind: HeadKind) -> dict[str, np.ndarray]:
    """Arrays that heads of a kind read, a row for each prompt set; IoUs are unknown, and 0."""
    tensors = {
        "iou_token": decoded.iou_token,
        "mask_token": decoded.mask_token,
        "sam_score": decoded.sam_score,
        "object_score": decoded.object_score,
    }
    if "figures" in kind.inputs:
        tensors |= mask_figures(decoded.logits)
    seen = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    return seen | {"iou": np.zeros_like(seen["sam_score"])}
