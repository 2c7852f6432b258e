"""Statistics of an uncertainty in each resample, against scikit-learn, SciPy and slow versions."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.scoring.auc import correction_auc
from pipeline.scoring.bootstrap import Resamples, resample_groups
from pipeline.scoring.usefulness import (
    augrc,
    aurc,
    pearson,
    risk_coverage,
)
from tests.fixtures.resampled import drawn_objects, levels, seeds, tied_objects

TEN_CONFIDENCES = np.array([0.97, 0.93, 0.91, 0.88, 0.83, 0.79, 0.74, 0.69, 0.62, 0.55])
TEN_FAILURES = np.array([0, 0, 1, 0, 0, 1, 0, 1, 0, 1.0])

small_tables = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0, 1), min_size=n, max_size=n),
        st.lists(st.integers(0, 2), min_size=n, max_size=n),
    )
)


def area_of_order(risk: np.ndarray, order: tuple[int, ...]) -> float:
    """Keep one object more at a time, measure the mean risk of those kept, average."""
    means = [float(np.mean(risk[list(order[: k + 1])])) for k in range(len(order))]
    return sum(means) / len(means)


def mean_over_orders(risk: np.ndarray, uncertainty: np.ndarray) -> float:
    areas = [
        area_of_order(risk, order)
        for order in permutations(range(len(risk)))
        if all(uncertainty[a] <= uncertainty[b] for a, b in pairwise(order))
    ]
    return sum(areas) / len(areas)


def each_once(n_objects: int) -> Resamples:
    """The objects themselves."""
    return resample_groups(np.zeros(n_objects, np.int64), 0, seed=0)


def area(risk: np.ndarray, uncertainty: np.ndarray) -> float:
    return float(aurc(risk, uncertainty, each_once(len(risk)))[0])


def generalised_area(risk: np.ndarray, uncertainty: np.ndarray) -> float:
    return float(augrc(risk, uncertainty, each_once(len(risk)))[0])


@settings(max_examples=40, deadline=None)
@given(small_tables)
def test_ties_count_as_the_mean_over_all_their_orders(
    table: tuple[list[float], list[int]],
) -> None:
    risk, uncertainty = (np.array(column, dtype=np.float64) for column in table)
    assert area(risk, uncertainty) == pytest.approx(mean_over_orders(risk, uncertainty), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_each_resample_is_what_its_objects_give(seed: int, n_levels: int) -> None:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    found = aurc(risk, uncertainty, resamples), augrc(risk, uncertainty, resamples)
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        assert found[0][resample] == pytest.approx(area(risk[rows], uncertainty[rows]), abs=1e-12)
        expected = generalised_area(risk[rows], uncertainty[rows])
        assert found[1][resample] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_augrc_is_what_the_segmentation_auc_lacks_of_1(seed: int, n_levels: int) -> None:
    risk, uncertainty, _ = tied_objects(seed, n_levels)
    found = correction_auc(1 - risk, np.ones_like(risk), uncertainty)
    assert generalised_area(risk, uncertainty) == pytest.approx(1 - found.auc, abs=1e-12)


def test_curves_and_areas_are_those_of_torch_uncertainty() -> None:
    """Numbers of its 0.13.0, whose AURC and AUGRC start at one kept object, stretched to [0, 1]."""
    coverage, *risks = risk_coverage(TEN_FAILURES, 1 - TEN_CONFIDENCES, 10)
    stretched = [np.trapezoid(risk, coverage) / (1 - 1 / 10) for risk in risks]
    assert stretched == pytest.approx([0.2567460291363574, 0.1666666665641719], abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_the_curve_encloses_the_areas(seed: int, n_levels: int) -> None:
    risk, uncertainty, _ = tied_objects(seed, n_levels)
    _, selective, generalised = risk_coverage(risk, uncertainty, len(risk))
    assert selective.mean() == pytest.approx(area(risk, uncertainty), abs=1e-12)
    generalised = np.concatenate([[0], generalised])
    expected = generalised_area(risk, uncertainty)
    assert np.trapezoid(generalised) / len(risk) == pytest.approx(expected, abs=1e-12)
    assert selective[-1] == pytest.approx(risk.mean())


def by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(stats.pearsonr(x, y).statistic)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_each_resample_is_as_scipy_says(seed: int, n_levels: int) -> None:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    found = pearson(risk, uncertainty, resamples)
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        expected = by_scipy(risk[rows], uncertainty[rows])
        assert found[resample] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_resamples_in_which_a_value_is_constant_have_no_correlation() -> None:
    resamples = resample_groups(np.repeat([0, 1, 2], 2), 40, seed=0)
    is_constant = (resamples.n_drawn > 0).sum(axis=1) == 1
    assert is_constant.any()
    rng = np.random.default_rng(0)
    # Many values: of some, what rounding leaves of their spread is above 0.
    for x, y in zip(rng.random((50, 3)).repeat(2, axis=1), rng.random((50, 6)), strict=True):
        np.testing.assert_array_equal(np.isnan(pearson(x, y, resamples)), is_constant)


def test_an_infinite_value_has_no_correlation() -> None:
    x, y = np.array([1, 2, np.inf]), np.array([1.0, 2, 3])
    assert np.isnan(pearson(x, y, each_once(3))).all()
    assert np.isnan(pearson(y, x, each_once(3))).all()
