"""The order of a review, and the rule that says when it may stop."""

from typing import Final

import numpy as np
import pytest

from pipeline.heads.scope import OUT_OF_DISTRIBUTION
from pipeline.iou_errors import IouErrors, measure_errors
from pipeline.review import MOST_UNJUDGED, remaining, review_order

TARGET = 0.8

EXACT: Final = IouErrors("tiny", "box", (0.0,), (500,), (0.0,), (0.0001,), 1.0, 80)
"""Errors of heads that are nearly always right."""


def looked_at(n_masks: int, n_first: int) -> np.ndarray:
    return np.arange(n_masks) < n_first


def drawn_masks(
    rng: np.random.Generator, n_images: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected and true IoU of seven masks of each image, and their images.

    Confident masks are overrated, and masks of one image err together.
    """
    image = np.repeat(np.arange(n_images), 7)
    expected = rng.beta(4, 1.5, len(image))
    mean = (expected - 0.06 * expected**2 + 0.03 * rng.standard_normal(n_images)[image]).clip(
        0.01, 0.99
    )
    return expected, rng.beta(8 * mean, 8 * (1 - mean)), image


@pytest.mark.no_cover
@pytest.mark.parametrize("n_images", [10, 60])
def test_masks_left_at_a_stop_reach_the_target_in_95_of_100_reviews(n_images: int) -> None:
    rng = np.random.default_rng(n_images)
    n_stops = n_short = 0
    for _ in range(200):
        errors = measure_errors("tiny", "box", *drawn_masks(rng, 80))
        expected, iou, _ = drawn_masks(rng, n_images)
        order = review_order(expected, np.zeros(len(expected)))
        expected, iou = expected[order], iou[order]
        for n_first in range(len(order)):
            reviewed = looked_at(len(order), n_first)
            if remaining(expected, np.zeros(len(order)), reviewed, errors).may_stop(TARGET):
                n_stops += 1
                n_short += iou[n_first:].mean() < TARGET
                break
    assert n_stops > 100
    assert n_short <= 0.05 * n_stops


def test_errors_of_confident_masks_are_not_those_of_all() -> None:
    expected = np.tile([0.2, 0.9], 400)
    iou = np.where(expected > 0.5, expected - 0.1, expected + 0.1)
    errors = measure_errors("tiny", "box", expected, iou, np.arange(800))
    left = remaining(np.full(100, 0.9), np.zeros(100), looked_at(100, 0), errors)
    assert left.rest_iou_low == pytest.approx(0.8)


def test_masks_of_one_image_that_err_together_lower_the_bound() -> None:
    rng = np.random.default_rng(0)
    expected, image = np.full(700, 0.8), np.repeat(np.arange(100), 7)
    apart = rng.standard_normal(700) / 10
    together = apart.reshape(100, 7)[:, :1].repeat(7, axis=1).ravel()
    lowest = []
    for error in (apart, together):
        errors = measure_errors("tiny", "box", expected, expected - error + error.mean(), image)
        left = remaining(np.full(100, 0.8), np.zeros(100), looked_at(100, 0), errors)
        lowest.append(0.8 - (left.rest_iou_low or 0))
    assert errors.clustering == pytest.approx(7)
    assert 2 < lowest[1] / lowest[0] < 3


def test_fewer_held_out_images_give_a_lower_bound() -> None:
    def bound(n: int) -> float:
        errors = IouErrors("tiny", "box", (0.0,), (n,), (0.0,), (0.04,), 1.0, n)
        left = remaining(np.full(500, 0.9), np.zeros(500), looked_at(500, 0), errors)
        return left.rest_iou_low or 0

    assert 0 < bound(10) < bound(100) - 0.05 < bound(10_000) - 0.05 < 0.9


def test_masks_that_the_heads_cannot_judge_come_first_and_stand_aside() -> None:
    expected, unlike = np.full(400, 0.95), np.zeros(400)
    unlike[-30:] = OUT_OF_DISTRIBUTION + 1e-3
    expected[-30:] = 0.99
    assert set(review_order(expected, unlike)[:30]) == {*range(370, 400)}
    few = remaining(expected, unlike, np.zeros(400, bool), EXACT)
    assert (few.n_masks, few.n_unjudged, few.may_stop(0.9)) == (400, 30, True)
    assert few.rest_iou_low == pytest.approx(0.95, abs=0.005)
    alone = remaining(expected, unlike, unlike < 0.5, EXACT)
    assert (alone.n_unjudged, alone.rest_iou_low, alone.may_stop(0.1)) == (30, None, None)


def test_many_masks_that_the_heads_cannot_judge_forbid_a_word_even_when_looked_at() -> None:
    expected, unlike = np.full(400, 0.95), np.zeros(400)
    unlike[: int(MOST_UNJUDGED * 400)] = np.nan
    reviewed = np.isnan(unlike)
    assert remaining(expected, unlike, reviewed, EXACT).may_stop(0.9)
    unlike[int(MOST_UNJUDGED * 400)] = np.nan
    assert remaining(expected, unlike, np.isnan(unlike), EXACT).may_stop(0.5) is None


def test_without_measured_errors_a_review_ends_with_its_last_mask() -> None:
    expected, unlike = np.full(400, 0.99), np.zeros(400)
    assert remaining(expected, unlike, looked_at(400, 399), None).may_stop(0.1) is None
    assert remaining(expected, unlike, looked_at(400, 400), None).may_stop(0.1)


def test_with_all_masks_looked_at_nothing_is_expected_and_the_review_may_stop() -> None:
    left = remaining(np.array([0.1, 0.2]), np.zeros(2), np.ones(2, bool), EXACT)
    assert (left.n_masks, left.rest_iou, left.whole_iou, left.may_stop(1.0)) == (0, None, 1, True)
    assert remaining(np.empty(0), np.empty(0), np.empty(0, bool), EXACT).whole_iou is None


def test_equally_doubtful_masks_stay_in_their_order() -> None:
    assert review_order(np.array([0.5, 0.1, 0.5, 0.1]), np.zeros(4)).tolist() == [1, 3, 0, 2]
