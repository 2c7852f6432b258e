"""IoU of predicted masks with the ground truth, at the resolution of the image."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.upsampling import count_pixels


def mask_iou(
    logits: Float[Tensor, "prompt proposal y x"], ground_truth: Bool[Tensor, "prompt height width"]
) -> Float[Tensor, "prompt proposal"]:
    """IoU with the ground truth at image resolution.

    Notes
    -----
    As in SAM2: logits are upsampled bilinearly (align_corners=False) and cut at 0.
    """
    above, shared = count_pixels(logits, ground_truth, (0.0,))
    return _iou(above, shared, ground_truth)[..., 0]


def _iou(
    above: Int[Tensor, "prompt proposal cut"],
    shared: Int[Tensor, "prompt proposal cut"],
    ground_truth: Bool[Tensor, "prompt height width"],
) -> Float[Tensor, "prompt proposal cut"]:
    area = ground_truth.flatten(1).sum(1)[:, None, None]
    return (shared.double() / (above + area - shared)).float()
