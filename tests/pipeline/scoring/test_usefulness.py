"""Statistics of an uncertainty in each resample, against scikit-learn, SciPy and slow versions."""

from dataclasses import astuple
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from pipeline.scoring.auc import correction_auc, correction_curve
from pipeline.scoring.bootstrap import each_once, ranked, resample_groups
from pipeline.scoring.passes import write_twice_ranks
from pipeline.scoring.usefulness import (
    CAUGHT,
    augrc,
    aurc,
    detection,
    pearson,
    risk_coverage,
    share_to_match,
    spearman,
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

    def statistics(of: np.ndarray) -> np.ndarray:
        each = [statistic(risk, of, resamples) for statistic in (aurc, augrc, spearman)]
        return np.stack([*each, *astuple(detection(risk > 0.5, of, resamples))])

    expected = statistics(uncertainty)
    for transformed in (3 * uncertainty - 7, np.exp(uncertainty), uncertainty**3):
        np.testing.assert_array_equal(statistics(transformed), expected)


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


def by_scikit_learn(is_failure: np.ndarray, uncertainty: np.ndarray) -> tuple[float, ...]:
    if is_failure.all() or not is_failure.any():
        return np.nan, np.nan, np.nan
    false_positives, true_positives, _ = roc_curve(is_failure, uncertainty, drop_intermediate=False)
    return (
        roc_auc_score(is_failure, uncertainty),
        average_precision_score(is_failure, uncertainty),
        false_positives[np.argmax(true_positives >= CAUGHT)],
    )


@settings(max_examples=15, deadline=None)
@given(seeds, levels)
def test_each_resample_is_as_scikit_learn_says(seed: int, n_levels: int) -> None:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    for shortfall in (0.1, 0.5, 0.97):
        is_failure = risk > shortfall
        found = np.stack(astuple(detection(is_failure, uncertainty, resamples)))
        for resample in range(len(resamples)):
            rows = drawn_objects(resamples, resample)
            expected = by_scikit_learn(is_failure[rows], uncertainty[rows])
            np.testing.assert_allclose(found[:, resample], expected, atol=1e-12)


def test_false_alarms_are_those_of_torch_uncertainty() -> None:
    """The FPR95 of its 0.13.0."""
    found = detection(TEN_FAILURES > 0, 1 - TEN_CONFIDENCES, each_once(10))
    assert found.false_alarms == pytest.approx(0.6667, abs=1e-4)


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("n_objects", [1, 4])
def test_where_all_or_none_fail_nothing_is_to_be_told(fails: bool, n_objects: int) -> None:
    is_failure = np.full(n_objects, fails)
    found = detection(is_failure, np.arange(n_objects, dtype=np.float64), each_once(n_objects))
    assert np.isnan(astuple(found)).all()


def test_the_oracle_raises_no_false_alarm_and_a_constant_flags_all() -> None:
    risk = np.linspace(0, 1, 11)
    oracle = detection(risk > 0.5, risk, each_once(11))
    assert np.concatenate(astuple(oracle)).tolist() == [1, 1, 0]
    constant = detection(risk > 0.5, np.zeros(11), each_once(11))
    assert np.concatenate(astuple(constant)) == pytest.approx([0.5, 5 / 11, 1])


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
def test_ranks_are_those_of_scipy(seed: int, n_levels: int) -> None:
    _, uncertainty, resamples = tied_objects(seed, n_levels)
    order, is_last = ranked(uncertainty)
    twice = np.empty((len(uncertainty), len(resamples)), np.int32)
    write_twice_ranks(resamples.drawn[0], resamples.group[order], order, is_last, twice)
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        ranks = stats.rankdata(uncertainty[rows])
        np.testing.assert_array_equal(twice[rows, resample] / 2, ranks)


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


def searched_share(gain: np.ndarray, uncertainty: np.ndarray, tolerance: float) -> float:
    """First of many shares on the curve that is good enough."""
    share, gained = correction_curve(np.zeros_like(gain), gain, uncertainty, n_points=20001)
    return float(share[np.argmax(gained >= gain.mean() - tolerance - 1e-12)])


def gain_of_routing(seed: int, n_levels: int) -> tuple[np.ndarray, np.ndarray]:
    risk, uncertainty, _ = tied_objects(seed, n_levels)
    rng = np.random.default_rng(seed)
    small = 1 - risk
    return (small + rng.normal(0.1, 0.2, len(small))).clip(0, 1) - small, uncertainty


@settings(max_examples=30, deadline=None)
@given(seeds, levels)
def test_the_share_of_each_resample_is_as_searched(seed: int, n_levels: int) -> None:
    gain, uncertainty = gain_of_routing(seed, n_levels)
    resamples = tied_objects(seed, n_levels)[2]
    for tolerance in (0.0, 0.01, 0.05):
        found = share_to_match(gain, uncertainty, resamples, tolerance=tolerance)
        for resample in range(len(resamples)):
            rows = drawn_objects(resamples, resample)
            expected = searched_share(gain[rows], uncertainty[rows], tolerance)
            assert found[resample] == pytest.approx(expected, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(seeds, levels)
def test_a_greater_tolerance_sends_no_more(seed: int, n_levels: int) -> None:
    gain, uncertainty = gain_of_routing(seed, n_levels)
    resamples = tied_objects(seed, n_levels)[2]
    shares = [share_to_match(gain, uncertainty, resamples, tolerance=t) for t in (0.0, 0.02, 1.0)]
    assert (shares[0] >= shares[1]).all()
    assert (shares[2] == 0).all()


def test_the_oracle_sends_only_what_gains() -> None:
    gain = np.array([0.7 - 0.5, 0, 0.8 - 0.2, 0])
    assert share_to_match(gain, gain, each_once(4), tolerance=0.0) == pytest.approx(0.5)
    assert share_to_match(gain, -gain, each_once(4), tolerance=0.0) == pytest.approx(1)
    assert share_to_match(gain, np.zeros(4), each_once(4), tolerance=0.1) == pytest.approx(0.5)


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tolerance must not be negative, got -1\.0"):
        share_to_match(np.ones(2), np.ones(2), each_once(2), tolerance=-1.0)
