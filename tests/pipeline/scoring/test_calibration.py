"""Calibration of predicted IoUs and of pixels, against scikit-learn and by slow loops."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import root_mean_squared_error

from pipeline.entropy.comparisons import pixel_labels
from pipeline.entropy.kernels import count_codes
from pipeline.mask_statistics import PIXEL_SCORES, REGIONS
from pipeline.masks import DECODE_TABLE, N_CODES
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.calibration import (
    N_BINS,
    PixelNumbers,
    accuracy,
    isotonic_iou,
    pixel_scores,
    reliability,
)
from pipeline.vocabulary import PROTOCOLS
from tests.fixtures.resampled import drawn_objects, levels, seeds, tied_objects
from tests.fixtures.scores import by_keys, low_value_high


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
    found = reliability(predicted, iou, resamples)
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        expected = counted_out(predicted[rows], iou[rows])
        np.testing.assert_allclose(found.predicted_iou[resample], expected[0], atol=1e-9)
        np.testing.assert_allclose(found.iou[resample], expected[1], atol=1e-9)
        error = np.abs(expected[0] - expected[1]).mean()
        assert found.error[resample] == pytest.approx(error, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds, levels)
def test_distances_are_those_of_scikit_learn(seed: int, n_levels: int) -> None:
    iou, predicted, resamples = tied_objects(seed, n_levels)
    found = accuracy(predicted, iou, resamples)
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


N_OBJECTS, SIZE_PX = 12, 24
GROUP = np.arange(N_OBJECTS) // 3
RESAMPLES = resample_groups(GROUP, 200, seed=0)


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and truth of some masks, (object, y, x); the last truth fills its frame."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((N_OBJECTS, SIZE_PX, SIZE_PX), bool)
    for n, one in enumerate(truth):
        one[4 : 8 + n, 3:15] = True
    truth[-1] = True
    code = rng.beta(0.5 + truth, 1.5 - truth * 0.9) * (N_CODES - 1)
    return code.astype(np.uint8), truth


def calibration(code: np.ndarray, truth: np.ndarray, region: str) -> PixelNumbers:
    counts = np.zeros((N_OBJECTS, 4, N_CODES), np.int64)
    count_codes(code.reshape(N_OBJECTS, -1), pixel_labels(truth), counts)
    band = counts.reshape(N_OBJECTS, 2, 2, N_CODES)
    of_region = band.sum(axis=1) if region == "whole" else band[:, 1]
    return {score.name: score.compute(of_region) for score in PIXEL_SCORES}


SEEDS = dict(zip(product(PROTOCOLS, ("tiny", "large")), range(4), strict=True))
SCORES = {
    (*key, region): calibration(*draw(seed), region)
    for key, seed in SEEDS.items()
    for region in REGIONS
}


def slow_error(code: np.ndarray, is_true: np.ndarray, share: np.ndarray) -> float:
    """ECE of single pixels, each with its share."""
    p, error = DECODE_TABLE[code].astype(np.float64), 0.0
    for b in range(10):
        is_in = (p >= b / 10) & ((p < (b + 1) / 10) | (b == 9))
        if is_in.any():
            weight = share[is_in].sum()
            mean_p = (p * share)[is_in].sum() / weight
            mean_truth = (is_true * share)[is_in].sum() / weight
            error += weight * abs(mean_p - mean_truth)
    return error


def test_numbers_are_those_of_single_pixels_by_protocol_model_and_region() -> None:
    scores = by_keys(pixel_scores(SCORES, RESAMPLES), RESAMPLES)
    assert len(scores) == len(SCORES)
    for keys, statistics in scores.items():
        assert list(statistics) == ["pixel_calibration_error", "brier", "nll", "pavpu"]
        code, truth = draw(SEEDS[keys.protocol, keys.model])
        label = pixel_labels(truth).reshape(truth.shape)
        is_of = label >= 2 if keys.region == "band" else np.ones_like(truth)
        n_px = is_of.sum(axis=(1, 2), keepdims=True)
        # Every object with a pixel in the region weighs the same.
        share = np.broadcast_to(1 / n_px.clip(1) / (n_px > 0).sum(), truth.shape)[is_of]
        p, y = DECODE_TABLE[code[is_of]].astype(np.float64), truth[is_of]
        expected = {
            "pixel_calibration_error": slow_error(code[is_of], y, share),
            "brier": (share * (p - y) ** 2).sum(),
        }
        for name, score in statistics.items():
            low, value, high = low_value_high(score)
            assert value == pytest.approx(expected.get(name, value)), score
            assert low < high
            # Few bins of few objects are farther from true in a resample than in the sample.
            assert low < value < high or name == "pixel_calibration_error"


def test_a_truth_that_fills_its_frame_counts_as_a_whole_alone() -> None:
    assert np.isnan(SCORES["best", "tiny", "band"]["brier"]).tolist() == [False] * 11 + [True]
    assert not np.isnan(SCORES["best", "tiny", "whole"]["brier"]).any()


def test_where_no_object_has_an_outline_there_is_no_number() -> None:
    code, _ = draw(0)
    empty = calibration(code, np.ones(code.shape, bool), "band")
    scores = {(protocol, "tiny", region): empty for protocol in PROTOCOLS for region in REGIONS}
    for statistics in by_keys(pixel_scores(scores, RESAMPLES), RESAMPLES).values():
        for score in statistics.values():
            assert np.isnan(low_value_high(score)).all()
