"""Intervals over groups: each resample is what the plain formulas give of the drawn objects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.scoring.auc import correction_auc
from pipeline.scoring.bootstrap import (
    LANES,
    LEAST_GROUPS,
    Resamples,
    interval,
    intervals,
    p_values,
    resample_groups,
    resampled_areas,
    resampled_means,
)
from pipeline.scoring.calibration import reliability
from pipeline.scoring.usefulness import aurc
from stages.page.verdict import holm
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
    for resample in range(6):
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
                reliability(uncertainty, iou, drawn)[1],
            ]
        )

    together = resample_groups(np.arange(90) // 4, LANES + 3, seed=0)
    alone = [Resamples(n_drawn[np.newaxis], together.group) for n_drawn in together.n_drawn]
    found = np.concatenate([statistics(one) for one in alone])
    np.testing.assert_array_equal(statistics(together), found)


def test_all_are_drawn_first_then_once_in_the_mean_and_as_the_multinomial_says() -> None:
    n_drawn = resample_groups(np.arange(50), 4000, seed=0).n_drawn
    assert (n_drawn.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(n_drawn[0], 1)
    np.testing.assert_allclose(n_drawn.mean(axis=0), 1, atol=0.08)
    np.testing.assert_allclose((n_drawn == 0).mean(), (1 - 1 / 50) ** 50, atol=0.005)


def test_the_seed_decides() -> None:
    first, again, other = (resample_groups(np.arange(9), 5, seed).n_drawn for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_an_interval_of_many_groups_holds_95_percent_and_one_of_few_is_wider() -> None:
    values = np.append(7, np.arange(1001) / 1000)
    many, few = interval(values, 10**6), interval(values, 5)
    assert (many.low, many.high) == pytest.approx((0.025, 0.975), abs=1e-4)
    expected = stats.norm.cdf(stats.t.ppf(0.025, 4) * np.sqrt(5 / 4))
    assert (few.low, few.high) == pytest.approx((expected, 1 - expected))


def test_values_that_do_not_exist_do_not_count() -> None:
    values = np.random.default_rng(0).random((4, 9))
    values[1, [1, 4, 5]] = values[2, 1:] = np.nan
    whole, with_gaps, empty, _ = intervals(values, 9)
    assert with_gaps == interval(values[1][~np.isnan(values[1])], 9)
    assert whole == interval(values[0], 9)
    assert np.isnan([empty.low, empty.high]).all()


@pytest.mark.parametrize("n_groups", [1, 2])
def test_one_group_or_two_have_no_interval(n_groups: int) -> None:
    resamples = resample_groups(np.arange(6) % n_groups, 50, seed=0)
    assert len(resamples) == 1
    assert len(resample_groups(np.arange(6) % LEAST_GROUPS, 50, seed=0)) == 51
    values = np.random.default_rng(0).random((6, 2))
    for found in (
        resampled_means(values, resamples),
        resampled_areas(values, values[:, 0], resamples),
    ):
        assert found.shape == (1, 2)
        ends = interval(found[:, 0], n_groups)
        assert np.isnan([ends.low, ends.high]).all()
        assert p_values(found.T, n_groups) == [1, 1]


def test_the_p_value_of_a_mean_is_that_of_a_t_test_of_the_images() -> None:
    values = np.random.default_rng(3).normal(0.6, 1, (5, 4))
    resamples = resample_groups(np.arange(5), 20_000, seed=0)
    means = resampled_means(values, resamples).T
    expected = stats.ttest_1samp(values, 0).pvalue
    np.testing.assert_allclose(p_values(means, 5), expected, rtol=0.05)


N_MEASURES, N_OBJECTS = 20, 7
"""Measures of a report of noise, and objects of an image."""


def margins_of_noise(n_images: int, seed: int) -> np.ndarray:
    """Margins of measures that know nothing over a baseline that knows nothing; the truth is 0."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_images), N_OBJECTS)
    gain = rng.normal(0.1, 0.15, len(group)) + rng.normal(0, 0.1, n_images)[group]
    gains = gain.clip(-1, 1)[:, np.newaxis]
    resamples = resample_groups(group, 500, seed)
    noise = rng.normal(size=(N_MEASURES + 1, len(group)))
    noise[1:] += 0.5 * rng.normal(size=(N_MEASURES, n_images))[:, group]
    orders = np.vstack([gain, -gain, noise])
    areas = np.stack([resampled_areas(gains, order, resamples)[:, 0] for order in orders])
    oracle, worst, *of_measures = areas
    relative = (np.array(of_measures) - worst) / (oracle - worst)
    margins: np.ndarray = relative[1:] - relative[0]
    return margins


@pytest.mark.slow
@pytest.mark.parametrize(
    "n_images",
    [13, *(pytest.param(n_images, marks=pytest.mark.full_size) for n_images in (3, 5, 40, 100))],
)
def test_reports_of_noise_are_seldom_sure_and_intervals_hold_the_truth(n_images: int) -> None:
    is_sure, covers = [], []
    for seed in range(1000):
        margins = margins_of_noise(n_images, seed)
        is_rejected = np.array(holm(p_values(margins, n_images)))
        ends = intervals(margins, n_images)
        holds_0 = np.array([end.low <= 0 <= end.high for end in ends])
        is_sure.append((is_rejected & ~holds_0).any())
        covers.append(holds_0.mean())
    assert np.mean(is_sure) <= 0.08
    if n_images == 13:
        assert np.mean(covers) >= 0.93
