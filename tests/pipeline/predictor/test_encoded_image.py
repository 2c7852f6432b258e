"""Masks at the size of an image, against torch."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from pipeline.predictor import encoded_image
from pipeline.predictor.encoded_image import masks_at_image
from tests.fixtures.uncompiled import run_uncompiled

SIZES = [(192, 256), (64, 64), (50, 40), (333, 77), (1, 3), (480, 641)]


def drawn_logits(kind: str) -> torch.Tensor:
    """Logits of three proposals of two prompt sets: noise, blobs, or background alone."""
    noise = 5 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    if kind == "noise":
        return noise
    blobs = interpolate(noise[..., :6, :6], (64, 64), mode="bicubic") - 3
    return blobs if kind == "blobs" else -noise.abs() - 1


@pytest.mark.parametrize("kind", ["noise", "blobs", "background"])
@pytest.mark.parametrize("size_px", SIZES)
def test_masks_are_those_of_upsampled_logits_cut_at_0(kind: str, size_px: tuple[int, int]) -> None:
    logits = drawn_logits(kind)
    upsampled = interpolate(logits, size_px, mode="bilinear", align_corners=False).numpy()
    found = masks_at_image(logits, size_px)
    # Up to rounding, a logit may fall on either side of 0.
    is_sure = np.abs(upsampled) > 1e-5
    assert is_sure.mean() > 0.999
    np.testing.assert_array_equal(found[is_sure], (upsampled > 0)[is_sure])
    assert found.any() == (kind != "background")


def test_masks_are_cut_compiled_as_the_python_says(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = drawn_logits("blobs")[:, :1]
    compiled = masks_at_image(logits, (50, 40))
    run_uncompiled(encoded_image, monkeypatch)
    np.testing.assert_array_equal(masks_at_image(logits, (50, 40)), compiled)
