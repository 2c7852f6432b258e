"""Correlations are SciPy's, of each resample."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from scipy import stats

from pipeline.scoring.association import pearson, spearman
from pipeline.scoring.bootstrap import each_once, resample_groups
from pipeline.scoring.passes.ranks import write_twice_ranks
from pipeline.scoring.ranking import Ranking
from tests.fixtures.resampled import drawn_objects, levels, seeds, tied_objects


def by_scipy(name: str, x: np.ndarray, y: np.ndarray) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(getattr(stats, name)(x, y).statistic)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_each_resample_is_as_scipy_says(seed: int, n_levels: int) -> None:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    for name, correlation in (("pearsonr", pearson), ("spearmanr", spearman)):
        found = correlation(risk, uncertainty, resamples)
        for resample in range(len(resamples)):
            rows = drawn_objects(resamples, resample)
            expected = by_scipy(name, risk[rows], uncertainty[rows])
            assert found[resample] == pytest.approx(expected, abs=1e-9, nan_ok=True)


@settings(max_examples=20, deadline=None)
@given(seeds, levels)
def test_of_the_objects_themselves_they_are_those_of_pandas(seed: int, n_levels: int) -> None:
    risk, uncertainty, _ = tied_objects(seed, n_levels)
    frame = pd.DataFrame({"risk": risk, "uncertainty": uncertainty})
    for expected, correlation in (
        (frame["risk"].corr(frame["uncertainty"], method="pearson"), pearson),
        (frame["risk"].corr(frame["uncertainty"], method="spearman"), spearman),
    ):
        found = correlation(risk, uncertainty, each_once(len(risk)))
        assert found[0] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=20, deadline=None)
@given(seeds, levels)
def test_ranks_are_those_of_scipy(seed: int, n_levels: int) -> None:
    _, uncertainty, resamples = tied_objects(seed, n_levels)
    ranking = Ranking.of(uncertainty)
    twice = np.empty((len(uncertainty), len(resamples)), np.int32)
    group = resamples.group[ranking.order]
    write_twice_ranks(resamples.drawn[0], group, ranking.order, ranking.is_last, twice)
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        ranks = stats.rankdata(uncertainty[rows])
        np.testing.assert_array_equal(twice[rows, resample] / 2, ranks)


@settings(max_examples=20, deadline=None)
@given(seeds, levels)
def test_spearman_sees_the_order_alone(seed: int, n_levels: int) -> None:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    expected = spearman(risk, uncertainty, resamples)
    np.testing.assert_array_equal(spearman(risk, np.exp(uncertainty), resamples), expected)


def test_a_constant_correlates_with_nothing() -> None:
    values, constant = np.array([0.1, 0.5, 0.2]), np.full(3, 0.1)
    for correlation in (pearson, spearman):
        assert np.isnan(correlation(values, constant, each_once(3))).all()
        assert np.isnan(correlation(constant, values, each_once(3))).all()
        assert np.isnan(correlation(values[:1], values[:1], each_once(1))).all()


def test_resamples_in_which_a_value_is_constant_have_no_correlation() -> None:
    resamples = resample_groups(np.repeat([0, 1], 3), 20, seed=0)
    is_constant = (resamples.n_drawn == 0).any(axis=1)
    assert is_constant.any()
    rng = np.random.default_rng(0)
    # Many values: of some, what rounding leaves of their spread is above 0.
    for x, y in zip(rng.random((50, 2)).repeat(3, axis=1), rng.random((50, 6)), strict=True):
        for correlation in (pearson, spearman):
            np.testing.assert_array_equal(np.isnan(correlation(x, y, resamples)), is_constant)


def test_an_infinite_value_has_a_rank_and_no_mean() -> None:
    x, y = np.array([1, 2, np.inf]), np.array([1.0, 2, 3])
    assert spearman(x, y, each_once(3)) == pytest.approx(1)
    assert np.isnan(pearson(x, y, each_once(3))).all()
    assert np.isnan(pearson(y, x, each_once(3))).all()
