"""IoU at image resolution, over the whole image and within a box."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from pipeline.extraction.iou import boxed_iou, mask_iou
from tests.fixtures.official import pycocotools_iou


def draw_masks(
    seed: int, size: tuple[int, int], shift: float = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are the smaller the larger the shift, and true masks."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((6, 3, 6, 6), generator=generator) - shift
    truth = torch.randn((6, 1, 5, 5), generator=generator)
    return (
        interpolate(coarse, (32, 32), mode="bicubic"),
        interpolate(truth, size, mode="bicubic")[:, 0] > 0,
    )


@pytest.mark.parametrize("size", [(40, 64), (300, 170), (64, 64)])
def test_iou_is_pycocotools_s_at_image_resolution(size: tuple[int, int]) -> None:
    logits, truth = draw_masks(0, size)
    full = interpolate(logits, size, mode="bilinear", align_corners=False) > 0
    found = mask_iou(logits, truth)
    for i in range(6):
        expected = pycocotools_iou(full[i].numpy(), truth[i].numpy())
        np.testing.assert_allclose(found[i], expected, rtol=1e-6)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    shift=st.floats(-3, 3),
)
def test_iou_within_the_box_is_iou(seed: int, height: int, width: int, shift: float) -> None:
    logits, truth = draw_masks(seed, (height, width), shift)
    truth[:, 0, 0] = True
    torch.testing.assert_close(boxed_iou(logits, truth), mask_iou(logits, truth), rtol=0, atol=1e-6)


@pytest.mark.parametrize("place", [(0, 0), (0, 31), (31, 0), (31, 31), (13, 20)])
def test_a_single_positive_logit_reaches_as_far_as_it_does(place: tuple[int, int]) -> None:
    logits = torch.full((1, 3, 32, 32), -1.0)
    logits[0, 1, *place] = 9
    truth = torch.ones((1, 200, 70), dtype=torch.bool)
    found = boxed_iou(logits, truth)
    torch.testing.assert_close(found, mask_iou(logits, truth), rtol=0, atol=0)
    assert found[0, 1] > 0


def test_only_the_box_is_upsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, truth = torch.full((2, 3, 32, 32), -1.0), torch.ones((2, 64, 64), dtype=torch.bool)
    logits[:, :, 4:12, 4:12] = 1
    expected = mask_iou(logits, truth)
    monkeypatch.setattr("pipeline.extraction.iou.interpolate", None)
    torch.testing.assert_close(boxed_iou(logits, truth), expected, rtol=0, atol=0)


def test_iou_in_parts_is_iou_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, truth = draw_masks(0, (20, 30))
    whole = mask_iou(logits, truth)
    monkeypatch.setattr("pipeline.extraction.iou.UPSAMPLED_PIXELS", 1)
    torch.testing.assert_close(mask_iou(logits, truth), whole, rtol=0, atol=0)
