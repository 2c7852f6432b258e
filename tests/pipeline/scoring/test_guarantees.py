"""Guarantees over 200 halves: kept within their bands, and seen to break with the calibration."""

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.risk_control import NOTHING, CalibrationSet
from tests.fixtures.judged import (
    Calibrate,
    Half,
    check,
    of_all,
    of_kept,
    random_halves,
    reached,
)

ALPHA, N_HALVES = 0.1, 200


def images(seed: int, n_images: int, n_masks: int, failure_rate: float) -> CalibrationSet:
    """Images whose masks share their fate, so that one mask more of an image says nothing new."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_images), n_masks)
    uncertainty = rng.random(n_images)[group] + 1e-3 * rng.random(len(group))
    return CalibrationSet.of(uncertainty, (rng.random(n_images) < failure_rate)[group], group)


def on_half(calibrate: Callable[[CalibrationSet], float]) -> Calibrate:
    """Calibrate on the images of a half, whatever each is for."""
    return lambda judged, half: calibrate(judged.of_images(half.is_calibrated))


@on_half
def without_the_new_image(judged: CalibrationSet) -> float:
    """Off by one: as if the calibrated images were all there are."""
    thresholds = np.unique(judged.uncertainty)
    is_lost = (judged.uncertainty <= thresholds[:, np.newaxis]) & judged.falls_short
    holds = is_lost @ judged.share <= ALPHA * len(judged.images()) + 1e-9
    return float(thresholds[holds].max(initial=NOTHING))


@on_half
def without_a_test(judged: CalibrationSet) -> float:
    """The largest threshold that seems to hold."""
    thresholds = np.unique(judged.uncertainty)[::30]
    excess = judged.share * (judged.falls_short - ALPHA)
    holds = (judged.uncertainty <= thresholds[:, np.newaxis]) @ excess <= 0
    return float(thresholds[holds].max(initial=NOTHING))


def by_mask(calibrate: Calibrate) -> Calibrate:
    """As if every mask were an image of its own, of which a quarter propose."""

    def of_masks(judged: CalibrationSet, half: Half) -> float:
        alone = np.arange(len(judged.group))
        masks = CalibrationSet.of(judged.uncertainty, judged.falls_short, alone)
        is_half = half.is_calibrated[judged.group]
        is_design = is_half & (np.cumsum(is_half) % 4 == 0)
        return calibrate(masks, Half(is_design, is_half & ~is_design))

    return of_masks


def told(judged: CalibrationSet, calibrate: Calibrate, of: str) -> tuple[float, float]:
    halves = random_halves(len(judged.images()), N_HALVES, np.random.default_rng(1))
    thresholds = [calibrate(judged, half) for half in halves]
    return reached(check(judged, halves, thresholds, ALPHA), of, ALPHA)


@pytest.mark.parametrize("failure_rate", [0.02, 0.3, 0.9])
def test_of_all_masks_few_are_kept_wrongly_on_any_images(failure_rate: float) -> None:
    for seed in range(2):
        share, least = told(images(seed, 42, 5, failure_rate), of_all(ALPHA), "all")
        assert share >= least
        assert 1 - ALPHA - 0.03 < least <= 1 - ALPHA


@pytest.mark.parametrize("broken", [without_the_new_image, by_mask(of_all(ALPHA))])
def test_a_calibration_that_forgets_an_image_is_seen_to_break_the_promise_of_all(
    broken: Calibrate,
) -> None:
    for seed in range(2):
        share, least = told(images(seed, 42, 20, failure_rate=0.4), broken, "all")
        assert share < least


@pytest.mark.no_cover
@pytest.mark.parametrize("failure_rate", [0.02, 0.13, 0.5])
def test_of_the_kept_masks_few_fall_short_on_any_images(failure_rate: float) -> None:
    for seed in range(2):
        share, least = told(images(seed, 120, 5, failure_rate), of_kept(ALPHA), "kept")
        assert share >= least == 0.855


@pytest.mark.parametrize(
    ("broken", "seeds"), [(without_a_test, range(2)), (by_mask(of_kept(ALPHA)), [0])]
)
def test_a_calibration_without_evidence_is_seen_to_break_the_promise_of_the_kept(
    broken: Calibrate, seeds: list[int]
) -> None:
    for seed in seeds:
        share, least = told(images(seed, 120, 30, failure_rate=0.13), broken, "kept")
        assert share < least
