"""Guarantees over 200 splits: kept within their bands, and seen to break with the calibration."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from pipeline.scoring.kept.images import Judged, Splits, random_halves
from pipeline.scoring.kept.promises import Promise, reached
from pipeline.scoring.kept.risk_control import (
    CONFIDENCE,
    NOTHING,
    Check,
    check,
    thresholds_of_all,
    thresholds_of_kept,
)
from tests.fixtures.judged import of_images

ALPHA, N_SPLITS = 0.1, 200

Calibrate = Callable[[Judged, Splits], np.ndarray]


def images(seed: int, n_images: int, n_masks: int, failure_rate: float) -> Judged:
    """Images whose masks share their fate, so that one mask more of an image says nothing new."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_images), n_masks)
    uncertainty = rng.random(n_images)[group] + 1e-3 * rng.random(len(group))
    return Judged.masks(uncertainty, (rng.random(n_images) < failure_rate)[group], group)


def of_all(judged: Judged, halves: Splits) -> np.ndarray:
    return thresholds_of_all(judged, halves, ALPHA)


def of_kept(judged: Judged, halves: Splits) -> np.ndarray:
    return thresholds_of_kept(judged, halves, ALPHA)


def one_by_one(calibrate: Callable[[Judged], float]) -> Calibrate:
    """Calibrate on the images of one half after the other."""
    return lambda judged, halves: np.array(
        [calibrate(of_images(judged, is_half)) for is_half in halves.is_calibrated]
    )


@one_by_one
def without_the_new_image(judged: Judged) -> float:
    """Off by one: as if the calibrated images were all there are."""
    thresholds = np.unique(judged.uncertainty)
    is_lost = (judged.uncertainty <= thresholds[:, np.newaxis]) & judged.falls_short
    holds = is_lost @ judged.share <= ALPHA * len(judged.images()) + 1e-9
    return float(thresholds[holds].max(initial=NOTHING))


@one_by_one
def without_a_test(judged: Judged) -> float:
    """The largest threshold that seems to hold."""
    thresholds = np.unique(judged.uncertainty)[::30]
    excess = judged.share * (judged.falls_short - ALPHA)
    holds = (judged.uncertainty <= thresholds[:, np.newaxis]) @ excess <= 0
    return float(thresholds[holds].max(initial=NOTHING))


def by_mask(calibrate: Calibrate) -> Calibrate:
    """As if every mask were an image of its own, of which a quarter propose."""

    def of_masks(judged: Judged, halves: Splits) -> np.ndarray:
        alone = np.arange(len(judged.group))
        masks = Judged.masks(judged.uncertainty, judged.falls_short, alone)
        is_half = halves.is_calibrated[:, judged.group]
        is_design = is_half & (np.cumsum(is_half, axis=1) % 4 == 0)
        return calibrate(masks, Splits(is_design, is_half & ~is_design))

    return of_masks


def told(judged: Judged, calibrate: Calibrate, of: str) -> tuple[float, float]:
    n_images = len(judged.images())
    rng = np.random.default_rng(1)
    halves = random_halves(n_images, N_SPLITS, rng, has_design=of == "kept")
    found = check(judged, halves, calibrate(judged, halves), ALPHA)
    return reached(found, Promise(of, 0.5, ALPHA))


@pytest.mark.parametrize("failure_rate", [0.02, 0.3, 0.9])
def test_of_all_masks_few_are_kept_wrongly_on_any_images(failure_rate: float) -> None:
    for seed in range(4):
        share, least = told(images(seed, 42, 5, failure_rate), of_all, "all")
        assert share >= least
        assert 1 - ALPHA - 0.03 < least <= 1 - ALPHA


@pytest.mark.parametrize("broken", [without_the_new_image, by_mask(of_all)])
def test_a_calibration_that_forgets_an_image_is_seen_to_break_the_promise_of_all(
    broken: Calibrate,
) -> None:
    for seed in range(4):
        share, least = told(images(seed, 42, 20, failure_rate=0.4), broken, "all")
        assert share < least


@pytest.mark.parametrize("failure_rate", [0.02, 0.13, 0.5])
def test_of_the_kept_masks_few_fall_short_on_any_images(failure_rate: float) -> None:
    for seed in range(3):
        share, least = told(images(seed, 120, 5, failure_rate), of_kept, "kept")
        assert share >= least == 0.855


@pytest.mark.parametrize(("broken", "seeds"), [(without_a_test, range(3)), (by_mask(of_kept), [0])])
def test_a_calibration_without_evidence_is_seen_to_break_the_promise_of_the_kept(
    broken: Calibrate, seeds: list[int]
) -> None:
    for seed in seeds:
        share, least = told(images(seed, 120, 30, failure_rate=0.13), broken, "kept")
        assert share < least


@pytest.mark.parametrize("n_splits", [1, 7, 200, 3000])
def test_the_least_share_of_splits_is_a_quantile_of_the_binomial(n_splits: int) -> None:
    nothing = np.zeros(n_splits)
    found = Check(kept=nothing, fell_short=nothing, excess=nothing)
    _, least = reached(found, Promise("kept", 0.5, ALPHA))
    assert least == binom.ppf(0.025, n_splits, CONFIDENCE) / n_splits


def test_a_share_of_exactly_alpha_is_no_excess() -> None:
    judged = Judged.masks(np.zeros(40), np.arange(40) % 10 == 0, np.arange(40))
    halves = random_halves(40, 3, np.random.default_rng(0), has_design=False)
    found = check(judged, halves, np.zeros(3), ALPHA)
    assert reached(found, Promise("kept", 0.5, ALPHA))[0] == 1


def test_images_that_propose_do_not_count_in_what_is_reached() -> None:
    """The first image alone falls short."""
    judged = Judged.masks(np.zeros(8), np.arange(8) < 1, np.arange(8))
    halves = Splits(np.arange(8)[np.newaxis] < 1, np.arange(8)[np.newaxis] > 4)
    assert check(judged, halves, np.zeros(1), ALPHA).excess == pytest.approx(-ALPHA)


def test_of_one_split_chance_cannot_be_told() -> None:
    one = np.zeros(1)
    share, least = reached(Check(one, one, one), Promise("all", 0.5, ALPHA))
    assert share == 1
    assert np.isnan(least)
