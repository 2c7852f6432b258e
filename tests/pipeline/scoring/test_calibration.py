"""Calibration of predicted IoUs: scikit-learn, and bins counted out one object at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import root_mean_squared_error

from pipeline.scoring.bootstrap import each_once
from pipeline.scoring.calibration import accuracy, reliability
from tests.fixtures.resampled import drawn_objects, levels, seeds, tied_objects


def counted_out(predicted: np.ndarray, iou: np.ndarray, n_bins: int) -> np.ndarray:
    """Means of bins that hold as many objects each, once every object is cut into ``n_bins``."""
    tied = np.array([iou[predicted == value].mean() for value in predicted])
    order = np.argsort(predicted)
    return np.array(
        [
            [part.mean() for part in np.array_split(np.repeat(values[order], n_bins), n_bins)]
            for values in (predicted, tied)
        ]
    )


@settings(max_examples=40, deadline=None)
@given(seeds, levels, st.sampled_from([1, 3, 10, 64]))
def test_each_resample_is_as_counted_out(seed: int, n_levels: int, n_bins: int) -> None:
    iou, predicted, resamples = tied_objects(seed, n_levels)
    found = reliability(predicted, iou, resamples, n_bins=n_bins)
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        expected = counted_out(predicted[rows], iou[rows], n_bins)
        np.testing.assert_allclose(found.predicted_iou[resample], expected[0], atol=1e-9)
        np.testing.assert_allclose(found.iou[resample], expected[1], atol=1e-9)
        error = np.abs(expected[0] - expected[1]).mean()
        assert found.error[resample] == pytest.approx(error, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_of_outcomes_that_are_0_or_1_the_bins_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.random(60)
    is_sound = (rng.random(60) < predicted).astype(np.float64)
    found = reliability(predicted, is_sound, each_once(60), n_bins=6)
    expected = calibration_curve(is_sound, predicted, n_bins=6, strategy="quantile")
    np.testing.assert_allclose(found.iou[0], expected[0])
    np.testing.assert_allclose(found.predicted_iou[0], expected[1])


@settings(max_examples=20, deadline=None)
@given(seeds, levels)
def test_distances_are_those_of_scikit_learn(seed: int, n_levels: int) -> None:
    iou, predicted, resamples = tied_objects(seed, n_levels)
    found = accuracy(predicted, iou, resamples)
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        expected = root_mean_squared_error(iou[rows], predicted[rows])
        assert found.root_mean_square[resample] == pytest.approx(expected)
        bias = predicted[rows].mean() - iou[rows].mean()
        assert found.bias[resample] == pytest.approx(bias, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seeds, levels)
def test_the_error_lies_between_the_bias_and_the_mean_distance(seed: int, n_levels: int) -> None:
    iou, predicted, resamples = tied_objects(seed, n_levels)
    error = reliability(predicted, iou, resamples).error
    bias = accuracy(predicted, iou, resamples).bias
    distance = accuracy(np.abs(predicted - iou), np.zeros_like(iou), resamples).bias
    assert (error >= np.abs(bias) - 1e-12).all()
    assert (error <= distance + 1e-12).all()


def test_predictions_that_are_true_have_no_error() -> None:
    iou = np.array([0.2, 0.9, 0.9, 0.4])
    assert reliability(iou, iou, each_once(4)).error == pytest.approx(0, abs=1e-12)
    assert accuracy(iou, iou, each_once(4)).root_mean_square == 0


def test_one_object_fills_every_bin() -> None:
    found = reliability(np.array([0.7]), np.array([0.4]), each_once(1), n_bins=3)
    np.testing.assert_allclose(found.predicted_iou, [[0.7] * 3])
    np.testing.assert_allclose(found.error, [0.3])


def test_a_diagram_needs_a_bin() -> None:
    with pytest.raises(ValueError, match="n_bins must be at least 1, got 0"):
        reliability(np.ones(2), np.ones(2), each_once(2), n_bins=0)
