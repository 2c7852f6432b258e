"""Masks at the size of an image, and the pixels that they have, against torch."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from pipeline import upsampling
from pipeline.upsampling import count_pixels, count_pixels_by_torch, masks_at_image
from tests.fixtures.uncompiled import run_uncompiled

SIZES = [(192, 256), (64, 64), (50, 40), (333, 77), (1, 3), (480, 641)]
CUTS = (-2.0, -1.0, 0.0, 1.5)


def draw_logits(kind: str) -> torch.Tensor:
    """Logits of three proposals of two prompt sets: noise, blobs, a spot or background alone."""
    noise = 5 * torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    if kind == "noise":
        return noise
    if kind == "spot":
        logits = torch.full((2, 3, 64, 64), -9.0)
        logits[0, 1, 63, 0] = logits[1, 2, 20, 31] = 9
        return logits
    blobs = interpolate(noise[..., :6, :6], (64, 64), mode="bicubic") - 3
    return blobs if kind == "blobs" else -noise.abs() - 2.1


@pytest.mark.parametrize("kind", ["noise", "blobs", "spot", "background"])
@pytest.mark.parametrize("size_px", SIZES)
def test_masks_and_their_pixels_are_those_of_upsampled_logits(
    kind: str, size_px: tuple[int, int]
) -> None:
    logits = draw_logits(kind)
    upsampled = interpolate(logits, size_px, mode="bilinear", align_corners=False).numpy()
    masks = masks_at_image(logits, size_px)
    # Up to rounding, a logit may fall on either side of a cut.
    is_sure = np.abs(upsampled) > 1e-5
    assert is_sure.mean() > 0.999
    np.testing.assert_array_equal(masks[is_sure], (upsampled > 0)[is_sure])
    assert masks.any() == (kind != "background" and (kind != "spot" or min(size_px) > 1))
    truth = np.random.default_rng(0).random((2, *size_px)) < 0.5
    counts = count_pixels(logits, torch.from_numpy(truth), CUTS).numpy()
    for i, cut in enumerate(CUTS):
        is_above, n_unsure = upsampled > cut, (np.abs(upsampled - cut) <= 1e-5).sum()
        expected = np.stack([is_above, is_above & truth[:, None]]).sum((-2, -1))
        assert np.abs(counts[..., i] - expected).sum() <= 2 * n_unsure
    np.testing.assert_array_equal(counts[0, ..., CUTS.index(0)], masks.sum((-2, -1)))


def test_a_gpu_counts_the_same_pixels_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, truth = draw_logits("blobs"), torch.ones((2, 50, 40), dtype=torch.bool)
    truth[:, :20] = False
    counts = count_pixels(logits, truth, CUTS)
    monkeypatch.setattr(upsampling, "GPU_PIXELS", 1)
    assert count_pixels_by_torch(logits, truth, CUTS).tolist() == counts.tolist()


def test_compiled_functions_do_as_their_python_says(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, truth = draw_logits("blobs")[:, :1], torch.ones((2, 50, 40), dtype=torch.bool)
    masks, counts = masks_at_image(logits, (50, 40)), count_pixels(logits, truth, CUTS)
    run_uncompiled(upsampling, monkeypatch)
    np.testing.assert_array_equal(masks_at_image(logits, (50, 40)), masks)
    assert count_pixels(logits, truth, CUTS).tolist() == counts.tolist()
