"""Intervals over groups: each resample is what the plain formulas give of the drawn objects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scoring.auc import correction_auc
from pipeline.scoring.bootstrap import (
    LANES,
    Resamples,
    interval,
    intervals,
    resample_groups,
    resampled_areas,
    resampled_means,
)
from pipeline.scoring.calibration import reliability
from pipeline.scoring.usefulness import aurc, detection, share_to_match, spearman
from tests.fixtures.resampled import drawn_objects


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_levels=st.sampled_from([2, 5, 10**6]))
def test_an_area_is_that_of_the_drawn_objects_ties_and_all(seed: int, n_levels: int) -> None:
    rng = np.random.default_rng(seed)
    group = np.sort(rng.integers(0, 8, 20))
    iou, corrected_iou = rng.random((2, 20))
    uncertainty = rng.integers(0, n_levels, 20).astype(np.float64)
    resamples = resample_groups(group, 5, seed)
    gains = np.stack([corrected_iou - iou, 1 - iou], axis=1)
    areas = resampled_areas(gains, uncertainty, resamples)
    means = resampled_means(iou[:, np.newaxis], resamples)[:, 0]
    for resample in range(5):
        rows = drawn_objects(resamples, resample)
        for task, corrected in enumerate((corrected_iou, np.ones(20))):
            expected = correction_auc(iou[rows], corrected[rows], uncertainty[rows])
            assert means[resample] + areas[resample, task] == pytest.approx(expected.auc)


def test_an_infinite_uncertainty_goes_first() -> None:
    resamples = resample_groups(np.arange(3), 4, seed=0)
    gains = np.array([[0.1], [0.2], [0.3]])
    infinite = resampled_areas(gains, np.array([0, np.inf, np.inf]), resamples)
    large = resampled_areas(gains, np.array([0.0, 5.0, 5.0]), resamples)
    np.testing.assert_array_equal(infinite, large)


@pytest.mark.parametrize("n_levels", [4, 10**6])
def test_a_resample_among_blocks_of_others_gives_the_bits_that_it_gives_alone(
    n_levels: int,
) -> None:
    rng = np.random.default_rng(0)
    iou, noise = rng.random((2, 90))
    uncertainty = np.floor((iou + noise) * n_levels) / n_levels

    def statistics(drawn: Resamples) -> np.ndarray:
        return np.column_stack(
            [
                resampled_areas(np.stack([iou, noise], axis=1), uncertainty, drawn),
                aurc(iou, uncertainty, drawn),
                spearman(iou, uncertainty, drawn),
                share_to_match(1 - iou, uncertainty, drawn),
                *detection(iou < 0.3, uncertainty, drawn).values(),
                reliability(uncertainty, iou, drawn).iou,
            ]
        )

    together = resample_groups(np.arange(90) // 4, LANES + 3, seed=0)
    alone = [Resamples(n_drawn[np.newaxis], together.group) for n_drawn in together.n_drawn]
    found = np.concatenate([statistics(one) for one in alone])
    np.testing.assert_array_equal(statistics(together), found)


def test_each_group_is_drawn_once_in_the_mean_and_as_the_multinomial_says() -> None:
    n_drawn = resample_groups(np.arange(50), 4000, seed=0).n_drawn
    assert (n_drawn.sum(axis=1) == 50).all()
    np.testing.assert_allclose(n_drawn.mean(axis=0), 1, atol=0.08)
    np.testing.assert_allclose((n_drawn == 0).mean(), (1 - 1 / 50) ** 50, atol=0.005)


def test_the_seed_decides() -> None:
    first, again, other = (resample_groups(np.arange(9), 5, seed).n_drawn for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_an_interval_holds_95_percent() -> None:
    found = interval(np.arange(1001) / 1000)
    assert (found.low, found.high) == pytest.approx((0.025, 0.975))


def test_values_that_do_not_exist_do_not_count() -> None:
    values = np.random.default_rng(0).random((4, 9))
    values[1, [0, 4, 5]] = values[2] = np.nan
    whole, with_gaps, empty, _ = intervals(values)
    assert with_gaps == interval(values[1][~np.isnan(values[1])])
    assert whole == interval(values[0])
    assert np.isnan([empty.low, empty.high]).all()


def test_a_single_group_has_no_interval() -> None:
    resamples = resample_groups(np.full(6, 3), 50, seed=0)
    assert not len(resamples)
    values = np.random.default_rng(0).random((6, 2))
    for found in (
        resampled_means(values, resamples),
        resampled_areas(values, values[:, 0], resamples),
    ):
        assert found.shape == (0, 2)
        assert np.isnan(interval(found[:, 0]).low)
        assert np.isnan(interval(found[:, 0]).high)
