"""IoUs and stability scores at the resolution of the image."""

import numpy as np
import pytest
import torch
from sam2.utils.amg import calculate_stability_score
from torch.nn.functional import interpolate

from pipeline.extraction.iou import iou_arrays
from pipeline.masks import CUT, CUTS
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
    p = interpolate(logits, size, mode="bilinear", align_corners=False).sigmoid()
    scores = iou_arrays(logits, truth, with_cuts=True)
    for i in range(6):
        for k, cut in enumerate(CUTS):
            expected = pycocotools_iou((p[i] > cut).numpy(), truth[i].numpy())
            np.testing.assert_allclose(scores["iou_at_cut"][i, :, k], expected, rtol=1e-3)
    at_half = scores["iou_at_cut"][..., CUTS.index(CUT)]
    assert torch.equal(scores["iou"], at_half)
    assert torch.equal(scores["iou"], iou_arrays(logits, truth, with_cuts=False)["iou"])


def test_stability_score_is_the_one_of_sam2_s_mask_generator() -> None:
    logits, truth = draw_masks(0, (300, 170))
    logits[0, 0] = -1.5  # no pixel above -1, where the generator divides 0 by 0
    full = interpolate(logits, (300, 170), mode="bilinear", align_corners=False)
    expected = calculate_stability_score(full, 0.0, 1.0).nan_to_num(0)
    torch.testing.assert_close(
        iou_arrays(logits, truth, with_cuts=True)["stability_score"], expected, rtol=1e-4, atol=0
    )
