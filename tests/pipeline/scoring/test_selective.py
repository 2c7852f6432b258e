"""Risk and coverage: a slow loop, scikit-learn and published implementations give the same."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipeline.auc import correction_auc
from pipeline.scoring.bootstrap import each_once, resample_groups
from pipeline.scoring.selective import augrc, aurc, risk_coverage
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


def area(risk: np.ndarray, uncertainty: np.ndarray) -> float:
    return float(aurc(risk, uncertainty, each_once(len(risk)))[0])


def generalised_area(risk: np.ndarray, uncertainty: np.ndarray) -> float:
    return float(augrc(risk, uncertainty, each_once(len(risk)))[0])


@settings(deadline=None)
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
def test_no_order_is_below_the_oracle_or_above_the_worst(seed: int, n_levels: int) -> None:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    for statistic in (aurc, augrc):
        found = statistic(risk, uncertainty, resamples)
        assert (found >= statistic(risk, risk, resamples) - 1e-12).all()
        assert (found <= statistic(risk, -risk, resamples) + 1e-12).all()


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_only_the_order_of_uncertainty_counts(seed: int, n_levels: int) -> None:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    for statistic in (aurc, augrc):
        expected = statistic(risk, uncertainty, resamples)
        for transformed in (3 * uncertainty - 7, np.exp(uncertainty), uncertainty**3):
            np.testing.assert_array_equal(statistic(risk, transformed, resamples), expected)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_augrc_of_failures_follows_from_scikit_learns_auroc(seed: int, n_levels: int) -> None:
    """Eq. 5 of arXiv 2407.01032: AUGRC = (1 - AUROC) p (1 - p) + p^2 / 2 at a failure rate of p."""
    risk, uncertainty, _ = tied_objects(seed, n_levels)
    fails = (risk > 0.5).astype(np.float64)
    p = fails.mean()
    expected = (1 - roc_auc_score(fails, uncertainty)) * p * (1 - p) + p**2 / 2
    assert generalised_area(fails, uncertainty) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_augrc_is_what_the_segmentation_auc_lacks_of_1(seed: int, n_levels: int) -> None:
    risk, uncertainty, _ = tied_objects(seed, n_levels)
    found = correction_auc(1 - risk, np.ones_like(risk), uncertainty)
    assert generalised_area(risk, uncertainty) == pytest.approx(1 - found.auc, abs=1e-12)


def test_curves_and_areas_are_those_of_torch_uncertainty() -> None:
    """Numbers of its 0.13.0, whose AURC and AUGRC start at one kept object, stretched to [0, 1]."""
    curve = risk_coverage(TEN_FAILURES, 1 - TEN_CONFIDENCES, 10)
    stretched = [
        np.trapezoid(risk, curve.coverage) / (1 - 1 / 10)
        for risk in (curve.selective_risk, curve.generalised_risk)
    ]
    assert stretched == pytest.approx([0.2567460291363574, 0.1666666665641719], abs=1e-8)


def test_augrc_of_ties_and_fractions_is_that_of_fd_shifts() -> None:
    """Computed as the code of arXiv 2407.01032 does."""
    confidence = np.array([0.97, 0.93, 0.93, 0.88, 0.83, 0.79, 0.79, 0.79, 0.62, 0.55])
    risk = np.array([0.05, 0.1, 0.4, 0.02, 0.2, 0.6, 0.1, 0.3, 0.15, 0.9])
    assert generalised_area(risk, -confidence) == pytest.approx(0.0988, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_the_curve_encloses_the_areas(seed: int, n_levels: int) -> None:
    risk, uncertainty, _ = tied_objects(seed, n_levels)
    curve = risk_coverage(risk, uncertainty, len(risk))
    assert curve.selective_risk.mean() == pytest.approx(area(risk, uncertainty), abs=1e-12)
    generalised = np.concatenate([[0], curve.generalised_risk])
    expected = generalised_area(risk, uncertainty)
    assert np.trapezoid(generalised) / len(risk) == pytest.approx(expected, abs=1e-12)
    assert curve.selective_risk[-1] == pytest.approx(risk.mean())


def test_one_object_has_its_risk_for_an_area() -> None:
    one = np.array([0.3]), np.array([0.9])
    assert area(*one) == pytest.approx(0.3)
    assert generalised_area(*one) == pytest.approx(0.15)
    curve = risk_coverage(*one, 4)
    np.testing.assert_allclose(curve.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.selective_risk, 0.3)


def test_of_no_resamples_there_are_no_areas() -> None:
    resamples = resample_groups(np.zeros(3, np.int64), 5, seed=0)
    assert aurc(np.ones(3), np.arange(3.0), resamples).shape == (0,)


def test_a_curve_needs_a_point() -> None:
    with pytest.raises(ValueError, match="n_points must be at least 1, got 0"):
        risk_coverage(np.ones(2), np.ones(2), 0)
