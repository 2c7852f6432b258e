"""The losses of the recipe, against plain loops in float64."""

import numpy as np
import pytest
import torch
from jaxtyping import Float

from tools.family.loss import (
    FOCAL_WEIGHT,
    GAIN_FLOOR,
    GAIN_MARGIN,
    GAIN_SCALE,
    OBJECT_WEIGHT,
    OTHERS_WEIGHT,
    Criterion,
    doubled,
    gain_loss,
    halved,
    mask_loss,
    object_loss,
)

Array = Float[np.ndarray, "..."]


def slow_loss(z: Array, t: Array, criterion: Criterion) -> float:
    p = 1 / (1 + np.exp(-z))
    entropy = -t * np.log(p) - (1 - t) * np.log(1 - p)
    if criterion == "balanced":
        inside = (t * entropy).sum() / (t.sum() + 1)
        return float(inside + ((1 - t) * entropy).sum() / ((1 - t).sum() + 1))
    focal = ((p * (1 - t) + (1 - p) * t) ** 2 * entropy).mean()
    dice = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    return float(FOCAL_WEIGHT * focal + dice)


def upsample(z: Array) -> Array:
    """Twice as wide, bilinear: a pixel is 3/4 its nearest and 1/4 the next, along each axis."""
    for _ in range(2):
        padded = np.pad(z, ((1, 1), (0, 0)), "edge")
        even, odd = 0.75 * z + 0.25 * padded[:-2], 0.75 * z + 0.25 * padded[2:]
        z = np.stack([even, odd], axis=1).reshape(-1, z.shape[1]).T
    return z


@pytest.mark.parametrize("criterion", ["balanced", "overlap"])
def test_loss_equals_a_slow_one(criterion: Criterion) -> None:
    generator = np.random.default_rng(0)
    logits = 2 * generator.standard_normal((4, 3, 5, 5))
    score = generator.uniform(size=(4, 3))
    mask = (generator.uniform(size=(4, 20, 20)) < 0.3).astype(float)
    tensors = [torch.from_numpy(array.astype(np.float32)) for array in (logits, score, mask)]
    loss = mask_loss(doubled(tensors[0]), tensors[1], halved(tensors[2]), criterion)
    rows = []
    for row in range(4):
        target = mask[row].reshape(10, 2, 10, 2).mean((1, 3))
        raised = [upsample(z) for z in logits[row]]
        losses = [slow_loss(z, target, criterion) for z in raised]
        ious = [((z > 0) & (target > 0.5)).sum() / ((z > 0) | (target > 0.5)).sum() for z in raised]
        wrong = np.abs(score[row] - ious).mean()
        rows.append(min(losses) + OTHERS_WEIGHT[criterion] * np.mean(losses) + wrong)
    assert float(loss) == pytest.approx(np.mean(rows), rel=1e-5)


@pytest.mark.parametrize("criterion", ["balanced", "overlap"])
@pytest.mark.parametrize("magnitude", [1e4, -1e4])
def test_extreme_logits_give_a_finite_loss_and_slope(
    criterion: Criterion, magnitude: float
) -> None:
    logits = torch.full((1, 3, 4, 4), magnitude, requires_grad=True)
    mask = torch.zeros(1, 16, 16)
    mask[0, :4, :4] = 1
    loss = mask_loss(doubled(logits), torch.ones(1, 3), halved(mask), criterion)
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_the_object_score_is_taught_by_cross_entropy() -> None:
    score = np.array([2.0, -1.0, 0.5])
    p = 1 / (1 + np.exp(-score))
    expected = OBJECT_WEIGHT * -np.mean([np.log(p[0]), np.log(1 - p[1]), np.log(1 - p[2])])
    is_object = torch.tensor([True, False, False])
    assert float(object_loss(torch.from_numpy(score), is_object)) == pytest.approx(expected)


def test_a_gain_is_a_share_of_what_the_mask_before_lacks() -> None:
    true = np.zeros((8, 8))
    true[:4] = 1
    half, most = true.copy(), true.copy()
    half[:, 4:] = 0
    most[0, 0] = 0
    # Of logits so large, the soft IoU is that of the mask; 1 is its floor under the union.
    before, after = (
        torch.from_numpy(200 * np.stack(masks)[:, None] - 100)
        for masks in ((half, most, true), (most, half, true))
    )
    target = torch.from_numpy(np.stack([true] * 3))[:, None]
    n = 32
    iou = {"half": 16 / (n + 1), "most": 31 / (n + 1), "all": n / (n + 1)}
    pairs = (("half", "most"), ("most", "half"), ("all", "all"))
    gains = [(iou[b] - iou[a]) / (1 - iou[a] + GAIN_FLOOR) for a, b in pairs]
    short = (GAIN_MARGIN - np.array(gains)) / GAIN_SCALE
    expected = GAIN_SCALE * np.log1p(np.exp(short)).mean()
    assert float(gain_loss(before, after, target)) == pytest.approx(expected)
