"""The order of a review, and the rule that says when it may stop."""

import numpy as np
import pytest

from pipeline.heads.scope import OUT_OF_DISTRIBUTION
from pipeline.review import MOST_UNJUDGED, OPTIMISM, most_doubtful_first, remaining

TARGET = 0.8


def looked_at(n_masks: int, n_first: int) -> np.ndarray:
    return np.arange(n_masks) < n_first


@pytest.mark.no_cover
@pytest.mark.parametrize("n_masks", [20, 40, 400])
def test_masks_left_at_a_stop_reach_the_target_in_95_of_100_reviews(n_masks: int) -> None:
    rng = np.random.default_rng(n_masks)
    n_stops = n_short = 0
    for _ in range(300):
        expected = np.sort(rng.beta(4, 1, n_masks))
        # The mean is as far below the expectation, and the spread as wide, as it was ever seen.
        mean = np.clip(expected - OPTIMISM, 0.01, 0.99)
        iou = rng.beta(2 * mean, 2 * (1 - mean))
        for n_first in range(n_masks):
            left = remaining(expected, np.zeros(n_masks), looked_at(n_masks, n_first))
            if left.may_stop(TARGET):
                n_stops += 1
                n_short += iou[n_first:].mean() < TARGET
                break
    assert n_stops > 100
    assert n_short <= 0.05 * n_stops


def test_masks_that_the_heads_cannot_judge_count_as_0_and_many_of_them_forbid_a_word() -> None:
    expected, unlike = np.full(400, 0.99), np.zeros(400)
    nothing = np.zeros(400, bool)
    assert remaining(expected, unlike, nothing).may_stop(0.9)
    unlike[:30] = OUT_OF_DISTRIBUTION + 1e-3
    few = remaining(expected, unlike, nothing)
    assert (few.n_unjudged, few.may_stop(0.9), few.may_stop(0.8)) == (30, False, True)
    unlike[: int(MOST_UNJUDGED * 400) + 1] = np.nan
    assert remaining(expected, unlike, nothing).may_stop(0.5) is None
    assert remaining(expected, unlike, ~np.isnan(unlike)).may_stop(0.5) is None
    assert remaining(expected, unlike, np.isnan(unlike)).may_stop(0.9)


def test_with_all_masks_looked_at_nothing_is_expected_and_the_review_may_stop() -> None:
    left = remaining(np.array([0.1, 0.2]), np.zeros(2), np.ones(2, bool))
    assert (left.n_masks, left.rest_iou, left.whole_iou, left.may_stop(1.0)) == (0, None, 1, True)
    assert remaining(np.empty(0), np.empty(0), np.empty(0, bool)).whole_iou is None


def test_equally_doubtful_masks_stay_in_their_order() -> None:
    assert most_doubtful_first(np.array([0.5, 0.1, 0.5, 0.1])).tolist() == [1, 3, 0, 2]
