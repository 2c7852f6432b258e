"""Prompts of the recipe: boxes about their objects, corrections where a mask is wrong."""

import numpy as np
import pytest

from pipeline.prompts import central_error
from tools.family.prompts import (
    BOX_NOISE,
    correct,
    draw_first,
)


def masks(seed: int, n: int = 12, size: int = 20) -> np.ndarray:
    """Blobs of all sizes, and noise."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(size=(n, size // 4, size // 4)) < generator.uniform(size=(n, 1, 1))
    drawn = coarse.repeat(4, axis=1).repeat(4, axis=2)
    drawn ^= generator.uniform(size=drawn.shape) < 0.05
    return drawn


@pytest.mark.parametrize("seed", range(5))
def test_a_correction_is_where_the_mask_is_wrong_and_says_what_is_true(seed: int) -> None:
    seen, true = masks(seed), masks(seed + 100)
    pixels, labels = correct(np.random.default_rng(seed), seen, true, 0.5)
    for own, target, (x, y), label in zip(seen, true, pixels, labels, strict=True):
        assert own[y, x] != target[y, x]
        assert bool(label) == target[y, x]


def test_where_nothing_is_wrong_a_pixel_is_confirmed() -> None:
    true = masks(3)
    pixels, labels = correct(np.random.default_rng(0), true, true, 0.5)
    assert [bool(label) for label in labels] == [
        target[y, x] for target, (x, y) in zip(true, pixels, strict=True)
    ]


def depth(region: np.ndarray, x: int, y: int) -> float:
    """Distance of a pixel to the nearest one outside of a region, which the frame bounds."""
    outside = ~np.pad(region, 1)
    ys, xs = np.nonzero(outside)
    return float(np.hypot(ys - y - 1, xs - x - 1).min())


@pytest.mark.parametrize("seed", range(3))
def test_the_central_error_lies_as_deep_as_any_in_a_missed_or_a_false_region(seed: int) -> None:
    for own, target in zip(masks(seed, 4), masks(seed + 50, 4), strict=True):
        x, y = central_error(own, target)
        regions = target & ~own, own & ~target
        (of_click,) = [region for region in regions if region[y, x]]
        deepest = max(
            depth(region, *pixel[::-1])
            for region in regions
            for pixel in np.argwhere(region).tolist()
        )
        assert depth(of_click, x, y) == pytest.approx(deepest, abs=1e-4)


def test_a_box_lies_about_its_object_within_the_image() -> None:
    generator = np.random.default_rng(0)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:80] = True
    boxes = np.stack([draw_first(generator, mask, 0) for _ in range(200)])
    off = np.abs(boxes - [[30, 20], [79, 39]])
    assert (off <= np.array([50, 20]) * BOX_NOISE + 1e-4).all()
    assert off.max() > 4
    assert boxes.min() >= 0
    assert (boxes[..., 0].max(), boxes[..., 1].max() < 60) == (79, True)
