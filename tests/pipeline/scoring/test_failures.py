"""Failure detection is scikit-learn's, of each resample."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from pipeline.scoring.bootstrap import each_once
from pipeline.scoring.failures import CAUGHT, detection
from tests.fixtures.resampled import drawn_objects, levels, seeds, tied_objects


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


def test_weights_of_scikit_learn_count_as_objects_drawn_several_times() -> None:
    risk, uncertainty, resamples = tied_objects(1, 5)
    is_failure = risk > 0.5
    found = detection(is_failure, uncertainty, resamples)
    for resample, drawn in enumerate(resamples.n_drawn):
        weights = drawn[resamples.group]
        expected = roc_auc_score(is_failure, uncertainty, sample_weight=weights)
        assert found.auroc[resample] == pytest.approx(expected, abs=1e-12)


def test_false_alarms_are_those_of_torch_uncertainty() -> None:
    """The FPR95 of its 0.13.0."""
    confidence = np.array([0.97, 0.93, 0.91, 0.88, 0.83, 0.79, 0.74, 0.69, 0.62, 0.55])
    is_failure = np.array([0, 0, 1, 0, 0, 1, 0, 1, 0, 1], bool)
    found = detection(is_failure, 1 - confidence, each_once(10))
    assert found.false_alarms == pytest.approx(0.6667, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_only_the_order_of_uncertainty_counts(seed: int, n_levels: int) -> None:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    expected = astuple(detection(risk > 0.5, uncertainty, resamples))
    for transformed in (2 * uncertainty - 3, np.exp(uncertainty)):
        found = astuple(detection(risk > 0.5, transformed, resamples))
        np.testing.assert_array_equal(found, expected)


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
