"""SAM2 with gradients says what SAM2 without them says."""

import numpy as np
import pytest
import torch

from pipeline.sam import Sam, build
from pipeline.sam.families import MINI_IMAGE_SIZE_PX
from tools.family.forward import forward

CLICKS = np.array([[[20, 30]], [[60, 40]], [[10, 50]], [[33, 7]]], np.float32)
"""Two objects in each of two images."""


def images(size_px: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, size_px, size_px, 3), np.uint8)


def test_logits_and_scores_are_those_of_the_model_that_extracts() -> None:
    model, rgb = build("mini", "tiny", seed=3), images(MINI_IMAGE_SIZE_PX)
    with torch.no_grad():
        logits, sam_score = forward(model, rgb, CLICKS)
    sam = Sam(model, device=torch.device("cpu"), precision="fp32")
    for image, rows in enumerate((slice(0, 2), slice(2, 4))):
        said = sam.decode(sam.encode(rgb[image]), CLICKS[rows])
        torch.testing.assert_close(logits[rows], said.logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(sam_score[rows], said.sam_score, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size_px", [64, 128])
def test_images_of_another_size_give_masks_of_a_quarter_of_it_and_gradients(size_px: int) -> None:
    model = build("mini", "tiny", seed=3)
    logits, sam_score = forward(model, images(size_px), CLICKS)
    assert logits.shape == (4, 3, size_px // 4, size_px // 4)
    (logits.square().sum() + sam_score.sum()).backward()  # type: ignore[no-untyped-call]
    gradient = model.image_encoder.trunk.patch_embed.proj.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
