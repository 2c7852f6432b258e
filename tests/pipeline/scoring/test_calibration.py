"""Calibration of predicted IoUs, against scikit-learn and by slow loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import root_mean_squared_error

from pipeline.scoring.calibration import (
    N_BINS,
    calibration,
    isotonic_iou,
    reliability,
)
from tests.fixtures.resampled import drawn_objects, levels, seeds, tied_objects


def counted_out(predicted: np.ndarray, iou: np.ndarray) -> np.ndarray:
    """Means of bins that hold as many objects each, once every object is cut into ``N_BINS``."""
    tied = np.array([iou[predicted == value].mean() for value in predicted])
    order = np.argsort(predicted)
    return np.array(
        [
            [part.mean() for part in np.array_split(np.repeat(values[order], N_BINS), N_BINS)]
            for values in (predicted, tied)
        ]
    )


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_each_resample_is_as_counted_out(seed: int, n_levels: int) -> None:
    iou, predicted, resamples = tied_objects(seed, n_levels)
    predicted_means, true_means = reliability(predicted, iou, resamples)
    found = calibration(predicted, iou, resamples)["calibration_error"]
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        expected = counted_out(predicted[rows], iou[rows])
        np.testing.assert_allclose(predicted_means[resample], expected[0], atol=1e-9)
        np.testing.assert_allclose(true_means[resample], expected[1], atol=1e-9)
        error = np.abs(expected[0] - expected[1]).mean()
        assert found[resample] == pytest.approx(error, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds, levels)
def test_distances_are_those_of_scikit_learn(seed: int, n_levels: int) -> None:
    iou, predicted, resamples = tied_objects(seed, n_levels)
    found = calibration(predicted, iou, resamples)
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        expected = root_mean_squared_error(iou[rows], predicted[rows])
        assert found["root_mean_square"][resample] == pytest.approx(expected)
        bias = predicted[rows].mean() - iou[rows].mean()
        assert found["bias"][resample] == pytest.approx(bias, abs=1e-12)


def slow_isotonic(score: np.ndarray, iou: np.ndarray) -> list[float]:
    """The regression at each score: the highest mean from below of the lowest mean from above."""
    levels = np.unique(score).tolist()

    def mean(first: float, last: float) -> float:
        return float(iou[(score >= first) & (score <= last)].mean())

    fitted = {
        level: max(
            min(mean(first, last) for last in levels if last >= level)
            for first in levels
            if first <= level
        )
        for level in levels
    }
    return [fitted[one] for one in score.tolist()]


@settings(max_examples=30, deadline=None)
@given(seeds, levels)
def test_calibrated_scores_are_the_isotonic_regression(seed: int, n_levels: int) -> None:
    iou, score, _ = tied_objects(seed, n_levels)
    fitted = isotonic_iou(score, iou)
    found = fitted.iou_at(score)
    np.testing.assert_allclose(found, slow_isotonic(score, iou), atol=1e-9)
    assert found.mean() == pytest.approx(iou.mean())
    between = fitted.iou_at(np.linspace(-1, 2, 50))
    assert (np.diff(between) >= 0).all()
    assert (between[0], between[-1]) == (found.min(), found.max())
