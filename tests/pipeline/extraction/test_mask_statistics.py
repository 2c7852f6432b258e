"""Mask statistics against slow formulas, in double precision."""

from itertools import combinations

import numpy as np
import pytest
import torch

from pipeline.entropy.mixtures import mask_entropy
from pipeline.extraction.predictions import mask_statistics
from pipeline.vocabulary import MASK_STATISTICS, PROPOSAL_PAIRS


def draw_logits(seed: int, n: int = 5, side: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 6 * torch.randn((n, 3, side, side), generator=generator)


def as_arrays(logits: torch.Tensor) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in mask_statistics(logits).items()}


def dice(p: np.ndarray, q: np.ndarray) -> float:
    return float(2 * (p * q).sum() / ((p**2).sum() + (q**2).sum()))


def test_mask_statistics_are_those_of_slow_formulas() -> None:
    logits = draw_logits(0)
    statistics = as_arrays(logits)
    assert tuple(statistics) == MASK_STATISTICS
    p = 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))
    for i, masks in enumerate(p):
        for k, mask in enumerate(masks):
            inside = mask > 0.5
            confidence = 2 * mask[inside].sum() / (mask.sum() + inside.sum())
            assert statistics["area"][i, k] == pytest.approx(mask.mean(), rel=1e-5)
            assert statistics["confidence"][i, k] == pytest.approx(confidence, rel=1e-5)
        for place, (first, second) in enumerate(combinations(range(3), 2)):
            expected = dice(masks[first], masks[second])
            assert statistics["agreement"][i, place] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(statistics["mask_entropy"], mask_entropy(p), rtol=1e-5)
    assert tuple(combinations(range(3), 2)) == PROPOSAL_PAIRS
    assert all(values.dtype == np.float32 for values in statistics.values())


@pytest.mark.parametrize(
    ("logit", "expected"),
    [
        (32.0, {"area": 1, "mask_entropy": 0, "confidence": 1, "agreement": 1}),
        (-32.0, {"area": 0, "mask_entropy": 0, "confidence": 0}),
        (-200.0, {"area": 0, "mask_entropy": 0, "confidence": 0, "agreement": 0}),
        (0.0, {"area": 0.5, "mask_entropy": 1, "confidence": 0, "agreement": 1}),
    ],
    ids=["full", "nearly empty", "empty", "undecided"],
)
def test_mask_statistics_of_uniform_masks_are_finite(
    logit: float, expected: dict[str, float]
) -> None:
    statistics = as_arrays(torch.full((1, 3, 8, 8), logit))
    for name, value in expected.items():
        np.testing.assert_allclose(statistics[name], value, atol=1e-6, err_msg=name)


def test_an_uncertain_empty_mask_has_the_entropy_of_its_few_probabilities() -> None:
    logits = torch.full((1, 3, 8, 8), -32.0)
    p = 1 / (1 + np.exp(np.float64(32)))
    expected = -(np.log2(p) * p + np.log2(1 - p) * (1 - p))
    entropy = as_arrays(logits)["mask_entropy"]
    assert entropy == pytest.approx(np.full((1, 3), expected), rel=1e-3, abs=1e-12)
