"""Risk control: thresholds against slow versions, and the promises by each measure."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.result_rows import PromiseRow
from pipeline.risk_control import (
    ALPHAS,
    CONFIDENCE,
    LARGEST_BET,
    N_BETS,
    N_PROPOSED,
    NOTHING,
    PROMISES,
    Judged,
    Promise,
    design_images,
    least_images,
    promise_rows,
    threshold,
    threshold_of_all,
    threshold_of_kept,
)
from pipeline.scoring.statistics import FAILURE_IOUS
from pipeline.scoring.tasks import JudgedMasks, judged_masks, own_masks
from tests.fixtures.judged import (
    drawn_threshold_of_kept,
    kept_and_lost,
    random_halves,
)
from tests.fixtures.model_scores import random_scores
from tests.fixtures.resampled import levels, seeds, tied_objects

ALPHA = 0.1


def population(
    rng: np.random.Generator, n_groups: int, failure_rate: float = 0.5, skill: float = 1.0
) -> Judged:
    """Images of one to eight objects that share much of their fate.

    An object falls short with the probability ``2 failure_rate u^skill``, u its uncertainty.
    """
    group = np.repeat(np.arange(n_groups), rng.integers(1, 9, n_groups))
    uncertainty = (rng.random(n_groups)[group] + rng.random(len(group))) / 2
    luck = (rng.random(n_groups)[group] + rng.random(len(group))) / 2
    return Judged.masks(uncertainty, luck < 2 * failure_rate * uncertainty**skill, group)


def some_judged(seed: int, n_levels: int) -> Judged:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    return Judged.masks(uncertainty, risk > 0.7, resamples.group)


@settings(max_examples=60, deadline=None)
@given(seeds, levels, st.sampled_from([0.05, 0.2, 0.5, 0.9]))
def test_the_threshold_of_all_is_the_largest_that_the_theorem_allows(
    seed: int, n_levels: int, alpha: float
) -> None:
    judged = some_judged(seed, n_levels)
    n = len(np.unique(judged.group))
    allowed = [
        threshold
        for threshold in np.unique(judged.uncertainty)
        if (n * kept_and_lost(judged, threshold)[1] + 1) / (n + 1) <= alpha + 1e-12
    ]
    assert threshold_of_all(judged, alpha) == max(allowed, default=NOTHING)


@settings(max_examples=30, deadline=None)
@given(seeds, levels)
def test_a_weaker_promise_keeps_no_less(seed: int, n_levels: int) -> None:
    judged = some_judged(seed, n_levels)
    thresholds = [threshold_of_all(judged, alpha) for alpha in (0.01, 0.1, 0.3, 0.6, 0.99)]
    assert thresholds == sorted(thresholds)


@settings(max_examples=30, deadline=None)
@given(seeds, levels)
def test_thresholds_move_with_the_measure(seed: int, n_levels: int) -> None:
    judged = some_judged(seed, n_levels)
    moved = Judged.masks(np.exp(judged.uncertainty), judged.falls_short, judged.group)
    assert threshold_of_all(moved, 0.3) == np.exp(threshold_of_all(judged, 0.3))


def test_exchanging_an_image_for_any_other_never_frees_the_new_one() -> None:
    """Leave-one-out over all images is the theorem itself: the mean loss stays within alpha."""
    judged = population(np.random.default_rng(3), 60)
    losses = []
    for left_out in range(60):
        is_left_out = np.arange(60) == left_out
        threshold = threshold_of_all(judged.of_images(~is_left_out), ALPHA)
        losses.append(kept_and_lost(judged.of_images(is_left_out), threshold)[1])
    assert np.mean(losses) <= ALPHA
    assert np.mean(losses) > ALPHA / 2


def test_where_no_threshold_holds_few_calibrations_find_one() -> None:
    """Masks that all fall short slightly too often, whatever the uncertainty says."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        group = np.repeat(np.arange(80), 4)
        judged = Judged.masks(rng.random(320), rng.random(320) < ALPHA + 0.005, group)
        found.append(drawn_threshold_of_kept(judged, ALPHA, rng) > NOTHING)
    assert np.mean(found) <= 1 - CONFIDENCE + 0.05


def test_sound_masks_are_all_kept_once_there_are_images_enough() -> None:
    group = np.repeat(np.arange(60), 3)
    sound = Judged.masks(np.linspace(0, 1, 180), np.zeros(180, bool), group)
    rng = np.random.default_rng(0)
    assert drawn_threshold_of_kept(sound, ALPHA, rng) > 0.9
    assert drawn_threshold_of_kept(sound.of_images(np.arange(60) < 20), ALPHA, rng) == NOTHING
    assert threshold_of_all(sound, ALPHA) == 1
    assert threshold_of_all(sound.of_images(np.arange(60) < 8), ALPHA) == NOTHING


def test_images_that_propose_a_threshold_are_no_evidence_for_it() -> None:
    """22 of 30 images test, and at least 25 of 34; it takes 23 to show a tenth."""
    group = np.repeat(np.arange(34), 3)
    sound = Judged.masks(np.linspace(0, 1, 102), np.zeros(102, bool), group)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert drawn_threshold_of_kept(sound.of_images(np.arange(34) < 30), ALPHA, rng) == NOTHING
        assert drawn_threshold_of_kept(sound, ALPHA, rng) > NOTHING


def test_after_one_threshold_fails_no_other_is_tried() -> None:
    """Images that propose are sound throughout, so that the loosest is tested first, and fails."""
    group = np.repeat(np.arange(80), 4)
    uncertainty = np.tile([0.1, 0.2, 0.8, 0.9], 80)
    is_design = np.arange(80) < 20
    misled = Judged.masks(uncertainty, (uncertainty > 0.5) & ~is_design[group], group)
    assert threshold_of_kept(misled, is_design, ALPHA) == NOTHING
    warned = Judged.masks(uncertainty, uncertainty > 0.5, group)
    assert threshold_of_kept(warned, is_design, ALPHA) == 0.2


def thresholds() -> list[Callable[[Judged, float], float]]:
    return [
        threshold_of_all,
        lambda judged, alpha: drawn_threshold_of_kept(judged, alpha, np.random.default_rng(0)),
    ]


@pytest.mark.parametrize("threshold", thresholds())
def test_one_image_promises_nothing(threshold: Callable[[Judged, float], float]) -> None:
    judged = Judged.masks(np.linspace(0, 1, 9), np.zeros(9, bool), np.zeros(9, np.int64))
    assert threshold(judged, ALPHA) == NOTHING


@pytest.mark.parametrize("threshold", thresholds())
@pytest.mark.parametrize("alpha", [0.0, 1.0, np.nan])
def test_a_promise_needs_an_alpha_between_0_and_1(
    threshold: Callable[[Judged, float], float], alpha: float
) -> None:
    with pytest.raises(ValueError, match=f"alpha must lie between 0 and 1, got {alpha}"):
        threshold(population(np.random.default_rng(0), 3), alpha)


@pytest.mark.parametrize("threshold", thresholds())
def test_without_objects_nothing_can_be_calibrated(
    threshold: Callable[[Judged, float], float],
) -> None:
    nobody = population(np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match="a calibration must have at least one object, got none"):
        threshold(nobody.of_images(np.zeros(3, bool)), ALPHA)


def test_images_count_the_same_whatever_they_hold() -> None:
    falls_short = np.array([True, False, False, False, False])
    judged = Judged.masks(np.arange(5) / 5, falls_short, np.array([7, 9, 9, 9, 9]))
    # One of two images loses all at the first mask: (1 + 1) / (2 + 1) in the theorem.
    assert threshold_of_all(judged, 2 / 3) == 0.8
    assert threshold_of_all(judged, 0.66) == NOTHING


def shown_one_by_one(judged: Judged, is_design: np.ndarray, is_test: np.ndarray) -> float:
    """``threshold_of_kept``, each threshold, bet and image by itself."""
    design = judged.of_images(is_design)
    places = np.linspace(0, len(design.group) - 1, N_PROPOSED + 1)[1:].round().astype(int)
    bets = [LARGEST_BET * (i + 1) / N_BETS / (1 - ALPHA) for i in range(N_BETS)]

    def evidence(threshold: float, is_of: np.ndarray, bet: float) -> float:
        lost = judged.share * (judged.falls_short - ALPHA) * (judged.uncertainty <= threshold)
        by_image = [lost[judged.group == image].sum() for image in np.flatnonzero(is_of)]
        return float(np.log1p(-bet * np.array(by_image)).sum())

    said = []
    for limit in np.unique(design.uncertainty[places]):
        found = [evidence(limit, is_design, bet) for bet in bets]
        said.append((max(found), limit, bets[int(np.argmax(found))]))
    shown = NOTHING
    for _, limit, bet in sorted(said, key=lambda one: -one[0]):
        if evidence(limit, is_test, bet) < -np.log(1 - CONFIDENCE):
            break
        shown = max(shown, limit)
    return shown


@pytest.mark.parametrize("skill", [1.0, 4.0])
def test_the_threshold_of_the_kept_is_that_of_a_slow_loop(skill: float) -> None:
    judged = population(np.random.default_rng(2), 120, failure_rate=0.1, skill=skill)
    found = []
    for half in random_halves(120, 8, np.random.default_rng(0)):
        own = judged.of_images(half.is_calibrated)
        found.append(threshold_of_kept(own, half.is_design, ALPHA))
        assert found[-1] == shown_one_by_one(judged, half.is_design, half.is_test)
    assert len(np.unique(found)) > 2


def test_a_quarter_of_the_images_propose() -> None:
    judged = population(np.random.default_rng(0), 40)
    drawn = [design_images(judged, np.random.default_rng(seed)) for seed in range(5)]
    assert {int(one.sum()) for one in drawn} == {10}
    assert len(np.unique(drawn, axis=0)) == 5


N_OBJECTS = 240
GROUP = np.arange(N_OBJECTS) // 3


@pytest.fixture(scope="module")
def masks() -> list[JudgedMasks]:
    """SamScores that tell the IoU well, and masks that seldom fail."""
    scores = random_scores(0, n_objects=N_OBJECTS, train_splits=())
    iou = 1 - scores.proposals.iou**3
    noisy = (iou + 0.1 * (scores.proposals.sam_score - 0.5)).astype(np.float32)
    told = replace(scores, proposals=replace(scores.proposals, iou=iou, sam_score=noisy))
    return own_masks(judged_masks({"large": told}))


def test_of_every_measure_the_promises_that_keep_something_are_told(
    masks: list[JudgedMasks],
) -> None:
    expected = []
    for one in masks:
        for (train_split, measure), uncertainty in one.measures.items():
            for promise in (Promise(*parts) for parts in product(PROMISES, FAILURE_IOUS, ALPHAS)):
                judged = Judged.masks(uncertainty, one.iou < promise.iou, GROUP)
                kept = float(np.mean(uncertainty <= threshold(judged, promise)))
                if kept > 0:
                    asked = (promise.of, promise.iou, promise.alpha)
                    row = (one.protocol, train_split, one.model, measure, *asked, kept)
                    expected.append(PromiseRow(*row))
    assert list(promise_rows(masks, GROUP)) == expected
    n_settings = sum(len(one.measures) for one in masks) * len(PROMISES) * 6
    assert 0 < len(expected) < n_settings


def test_a_threshold_is_of_all_images() -> None:
    rng = np.random.default_rng(0)
    uncertainty = rng.random(N_OBJECTS)
    judged = Judged.masks(uncertainty, rng.random(N_OBJECTS) < uncertainty**4, GROUP)
    expected = threshold_of_all(judged, 0.1)
    assert threshold(judged, Promise("all", 0.5, 0.1), seed=0) == expected > 0
    kept = [threshold(judged, Promise("kept", 0.5, 0.2), seed=3) for _ in range(2)]
    assert kept[0] == kept[1] > NOTHING


@pytest.mark.parametrize(("of", "alpha"), [*product(PROMISES, (0.05, 0.1, 0.2, 0.3, 0.4))])
def test_the_least_images_show_something_of_sound_masks_and_one_less_nothing(
    of: str, alpha: float
) -> None:
    promise = Promise(of, 0.5, alpha)

    def kept(n_images: int) -> float:
        sound = Judged.masks(np.zeros(n_images), np.zeros(n_images, bool), np.arange(n_images))
        return threshold(sound, promise, seed=0)

    assert kept(least_images(promise)) == 0
    assert kept(least_images(promise) - 1) == NOTHING


def test_an_unknown_promise_is_refused() -> None:
    judged = Judged.masks(np.ones(2), np.ones(2, bool), np.arange(2))
    with pytest.raises(ValueError, match="promise must be one of all, kept, got 'some'"):
        threshold(judged, Promise("some", 0.5, 0.1), seed=0)
