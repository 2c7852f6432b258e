"""Routing: the least share sent on, against a search over one object more at a time."""

import numpy as np
import pytest
from hypothesis import given, settings

from pipeline.auc import correction_curve
from pipeline.scoring.bootstrap import each_once
from pipeline.scoring.routing import Ious, Seconds, share_to_match
from tests.fixtures.resampled import drawn_objects, levels, seeds, tied_objects


def searched(ious: Ious, uncertainty: np.ndarray, tolerance: float) -> float:
    """First of many shares on the curve that is good enough."""
    share, mean_iou = correction_curve(ious.small, ious.large, uncertainty, n_points=20001)
    return float(share[np.argmax(mean_iou >= ious.large.mean() - tolerance - 1e-12)])


def some_ious(seed: int, n_levels: int) -> tuple[Ious, np.ndarray]:
    risk, uncertainty, _ = tied_objects(seed, n_levels)
    rng = np.random.default_rng(seed)
    small = 1 - risk
    return Ious(small, (small + rng.normal(0.1, 0.2, len(small))).clip(0, 1)), uncertainty


@settings(max_examples=30, deadline=None)
@given(seeds, levels)
def test_each_resample_is_as_searched(seed: int, n_levels: int) -> None:
    ious, uncertainty = some_ious(seed, n_levels)
    resamples = tied_objects(seed, n_levels)[2]
    for tolerance in (0.0, 0.01, 0.05):
        found = share_to_match(ious, uncertainty, resamples, tolerance=tolerance)
        for resample in range(len(resamples)):
            rows = drawn_objects(resamples, resample)
            drawn = Ious(ious.small[rows], ious.large[rows])
            expected = searched(drawn, uncertainty[rows], tolerance)
            assert found[resample] == pytest.approx(expected, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(seeds, levels)
def test_a_greater_tolerance_sends_no_more(seed: int, n_levels: int) -> None:
    ious, uncertainty = some_ious(seed, n_levels)
    resamples = tied_objects(seed, n_levels)[2]
    shares = [share_to_match(ious, uncertainty, resamples, tolerance=t) for t in (0.0, 0.02, 1.0)]
    assert (shares[0] >= shares[1]).all()
    assert (shares[2] == 0).all()


def test_the_oracle_sends_only_what_gains() -> None:
    ious = Ious(np.array([0.5, 0.9, 0.2, 0.9]), np.array([0.7, 0.9, 0.8, 0.9]))
    gain = ious.large - ious.small
    assert share_to_match(ious, gain, each_once(4), tolerance=0.0) == pytest.approx(0.5)
    assert share_to_match(ious, -gain, each_once(4), tolerance=0.0) == pytest.approx(1)
    assert share_to_match(ious, np.zeros(4), each_once(4), tolerance=0.1) == pytest.approx(0.5)


def test_seconds_grow_with_what_is_sent() -> None:
    seconds = Seconds(0.5, 3.0).at(np.array([0, 0.5, 1]))
    np.testing.assert_allclose(seconds, [0.5, 2.0, 3.5])


def test_a_negative_tolerance_is_refused() -> None:
    ious = Ious(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=r"tolerance must not be negative, got -1\.0"):
        share_to_match(ious, np.ones(2), each_once(2), tolerance=-1.0)
