"""IoU at the resolution of the image."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from pipeline.extraction.iou import mask_iou
from tests.fixtures.official import pycocotools_iou


def draw_masks(seed: int, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and ground truth."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((6, 3, 6, 6), generator=generator)
    truth = torch.randn((6, 1, 5, 5), generator=generator)
    return (
        interpolate(coarse, (32, 32), mode="bicubic"),
        interpolate(truth, size, mode="bicubic")[:, 0] > 0,
    )


@pytest.mark.parametrize("size", [(40, 64), (300, 170), (64, 64)])
def test_iou_is_pycocotools_s_at_image_resolution(size: tuple[int, int]) -> None:
    logits, truth = draw_masks(0, size)
    masks = interpolate(logits, size, mode="bilinear", align_corners=False) > 0
    iou = mask_iou(logits, truth)
    for i in range(6):
        expected = pycocotools_iou(masks[i].numpy(), truth[i].numpy())
        np.testing.assert_allclose(iou[i], expected, rtol=1e-6)
