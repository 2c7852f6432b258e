"""Mask sets: the promise on any images, seen to break with the calibration, and slow oracles."""

from collections.abc import Callable
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from pipeline.mask_sets import (
    ALPHAS,
    coverage,
    judged_sets,
    least_images,
    mask_set,
    order_of,
    out_of_reach,
    set_scores,
    set_threshold,
)
from pipeline.risk_control import FAILURE_IOUS, NOTHING, CalibrationSet
from pipeline.scoring.bootstrap import resample_groups
from tests.fixtures.scores import ByKeys, by_keys, low_value_high

ALPHA = 0.2

Scene = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Predicted IoUs, whether proposals are good, and the image of each object."""


def scenes(seed: int, n_images: int = 60, n_objects: int = 6, skill: float = 1.0) -> Scene:
    """Images whose objects share their luck, and some objects without any good proposal."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_images), rng.integers(1, 2 * n_objects, n_images))
    luck = 0.3 * rng.normal(size=n_images)[group] + 0.2 * rng.normal(size=len(group))
    told = luck[:, np.newaxis] + 1.5 * rng.normal(size=(len(group), 3)) + 0.2
    iou = 1 / (1 + np.exp(-told))
    predicted = skill * iou + (1 - skill) * rng.random(iou.shape)
    return predicted, iou >= 0.5, group


@pytest.mark.no_cover
@pytest.mark.parametrize("skill", [0.0, 0.5, 1.0])
def test_sets_have_a_good_proposal_as_often_as_promised_however_poor_the_prediction(
    skill: float,
) -> None:
    for seed in range(4):
        found = coverage(judged_sets(*scenes(seed, skill=skill)), ALPHA)
        assert found.share >= found.least > 1 - ALPHA - 0.02


@pytest.mark.parametrize("alpha", [0.2, 0.7])  # At 0.7, sets are of the threshold 1.
def test_the_least_coverage_is_the_lower_end_of_a_normal_interval_around_the_promise(
    alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.mask_sets.N_CALIBRATIONS", 8)
    predicted, is_good, group = scenes(0, skill=0.5)
    judged = judged_sets(predicted, is_good, group)
    rng, n_images, shares = np.random.default_rng(0), group.max() + 1, []
    for _ in range(8):
        half = rng.permutation(n_images) < n_images // 2
        limit = set_threshold(judged.of_images(half), alpha)
        covered = [
            np.mean([is_good[i, list(mask_set(predicted[i], limit))].any() for i in rows])
            for rows in (np.flatnonzero(group == image) for image in np.flatnonzero(~half))
        ]
        shares.append(np.mean(covered))
    least, _ = stats.norm.interval(0.95, 1 - alpha, stats.sem(shares))
    checked = coverage(judged, alpha)
    assert (checked.share, checked.least) == pytest.approx((np.mean(shares), least))


def test_halves_without_sets_cover_only_the_objects_that_have_a_good_proposal() -> None:
    predicted, is_good, group = scenes(0, skill=1.0)
    is_good[group % 8 == 0] = False  # an eighth of the images, or a little more
    judged = judged_sets(predicted, is_good, group)
    checked = coverage(judged, out_of_reach(judged))
    assert checked.n_without > 100
    assert checked.share == pytest.approx(1 - out_of_reach(judged), abs=0.02)
    assert checked.of_worst < checked.share


def test_coverage_of_small_objects_is_that_of_these_alone() -> None:
    predicted, is_good, group = scenes(0, skill=1.0)
    is_small = np.arange(len(group)) % 3 == 0
    is_good[is_small] = False
    in_order = is_small[order_of(predicted, is_good)]
    checked = coverage(judged_sets(predicted, is_good, group), 0.5, in_order)
    assert checked.of_small == 0 < checked.share


def without_the_new_image(judged: CalibrationSet, alpha: float) -> float:
    """Off by one: as if the calibrated images were all there are."""
    missed = np.concatenate([[0], judged.share.cumsum()[:-1]])
    holds = (missed <= alpha * len(judged.images()) + 1e-9) & ~judged.falls_short
    return float(judged.uncertainty[holds].max())


def by_mask(judged: CalibrationSet, alpha: float) -> float:
    """As if every object were an image of its own."""
    alone = np.arange(len(judged.group))
    return set_threshold(CalibrationSet.of(judged.uncertainty, judged.falls_short, alone), alpha)


@pytest.mark.no_cover
@pytest.mark.parametrize("broken", [without_the_new_image, by_mask])
def test_a_calibration_that_forgets_an_image_or_takes_masks_for_images_is_seen_to_break_it(
    broken: Callable[[CalibrationSet, float], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The objects of an image share their fate, so that one more of them says nothing new."""
    image = np.repeat(np.arange(32), 20)
    alike = 1e-6 * np.arange(len(image))[:, np.newaxis] / len(image)
    for seed in range(4):
        (iou, _, _), (poor, _, _) = (scenes(seed, 32, 1, skill) for skill in (1.0, 0.0))
        is_good = (iou >= 0.55) | (poor == poor.min(axis=1, keepdims=True))
        judged = judged_sets(poor[image] + alike, is_good[image], image)
        found = coverage(judged, ALPHA)
        assert found.share >= found.least
        with monkeypatch.context() as patch:
            patch.setattr("pipeline.mask_sets.set_threshold", broken)
            found = coverage(judged, ALPHA)
        assert found.share < found.least


def slow_threshold(judged: CalibrationSet, alpha: float) -> float:
    n = len(judged.images())
    found = [NOTHING]
    for limit in judged.uncertainty[~judged.falls_short]:
        missed = [(judged.uncertainty[judged.group == i] < limit).mean() for i in judged.images()]
        if sum(missed) + 1 <= alpha * (n + 1) + 1e-12:
            found.append(limit)
    return max(found)


@pytest.mark.parametrize("alpha", [0.17, 0.21, 0.34])
def test_the_threshold_is_that_of_a_slow_loop(alpha: float) -> None:
    found = []
    for seed in range(8):
        judged = judged_sets(*scenes(seed, n_images=20, n_objects=4, skill=0.0))
        found.append(set_threshold(judged, alpha))
        assert found[-1] == slow_threshold(judged, alpha)
    assert len(set(found)) > 1


@given(arrays(np.float64, 3, elements=st.floats(-0.5, 1.5)), st.floats(0, 1))
def test_a_set_has_the_proposals_behind_others_that_may_all_fall_short(
    predicted: np.ndarray, threshold: float
) -> None:
    expected, left = [], 1.0
    for k in sorted(range(3), key=lambda k: -predicted[k]):
        if left >= threshold:
            expected.append(k)
        left *= 1 - min(max(predicted[k], 0), 1)
    assert mask_set(predicted, threshold) == tuple(expected)
    assert expected


def test_the_threshold_that_an_object_needs_is_that_of_its_first_good_proposal() -> None:
    predicted = np.array([[0.2, 0.9, 0.5]] * 3)
    is_good = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0]], bool)
    judged = judged_sets(predicted, is_good, np.arange(3))
    np.testing.assert_allclose(judged.uncertainty, [NOTHING, 0.05, 0.1])
    assert judged.falls_short.tolist() == [True, False, False]
    assert out_of_reach(judged) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("alpha", "without"), [(0.1, 0.0), (0.2, 0.1), (0.5, 0.25), (0.3, 0.2)])
def test_the_least_images_have_sets_and_one_less_has_none(alpha: float, without: float) -> None:
    n_images = int(least_images(alpha, without))
    assert without * n_images + 1 <= alpha * (n_images + 1) + 1e-9
    assert without * (n_images - 1) + 1 > alpha * n_images
    assert least_images(alpha, alpha) == inf


@pytest.fixture(scope="module")
def scores() -> ByKeys:
    predicted, _, group = scenes(0)
    iou, poor = scenes(0)[0], scenes(0, skill=0.1)[0]
    by_name = {("", "sam_score"): poor, ("train", "usam"): predicted}
    resamples = resample_groups(group, 50, seed=0)
    return by_keys(set_scores("large", by_name, iou, resamples), resamples)


def test_sets_hold_the_promise_and_good_predictions_make_them_small(scores: ByKeys) -> None:
    assert {(keys.iou_at, keys.alpha) for keys in scores} < {
        (iou, alpha) for iou in FAILURE_IOUS for alpha in ALPHAS
    }
    margins: dict[str, list[float]] = {}
    for keys, statistics in scores.items():
        assert keys.alpha is not None
        assert statistics["coverage"].value >= 1 - keys.alpha - 0.01
        low, n_masks, high = low_value_high(statistics["n_masks"])
        assert 1 <= n_masks <= 3
        assert low - 0.1 <= n_masks <= high + 0.1
        margins.setdefault(keys.measure, []).append(statistics["n_masks_margin"].value)
    assert min(margins["usam"]) < -0.2
    assert max(margins["usam"]) <= 0
    assert set(margins["sam_score"]) == {0}


def test_a_size_is_the_mean_over_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.mask_sets.N_HALVES", 8)
    iou, _, group = scenes(0)
    resamples = resample_groups(group, 2, seed=0)
    by_name = {("", "sam_score"): iou}
    found = by_keys(set_scores("large", by_name, iou, resamples), resamples)
    keys, statistics = next(iter(found.items()))
    assert keys.alpha is not None
    judged = judged_sets(iou, iou >= keys.iou_at, group)
    rng, sizes, n_images = np.random.default_rng(0), [], group.max() + 1
    for _ in range(4):
        first = rng.permutation(n_images) < n_images // 2
        for half in (first, ~first):
            limit = set_threshold(judged.of_images(half), keys.alpha)
            size = np.array([len(mask_set(one, limit)) for one in iou])
            sizes.append(np.mean([size[group == i].mean() for i in np.flatnonzero(~half)]))
    assert statistics["n_masks"].value == pytest.approx(np.mean(sizes))


def test_a_single_image_has_no_scores() -> None:
    predicted, is_good, group = scenes(0)
    single = resample_groups(np.zeros_like(group), 50, seed=0)
    assert not list(set_scores("large", {("", "sam_score"): predicted}, is_good * 1.0, single))
