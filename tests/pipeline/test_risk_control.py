"""Risk control: thresholds against slow versions, and the guarantees by each measure."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.risk_control import (
    CONFIDENCE,
    GUARANTEES,
    LARGEST_BET,
    N_BETS,
    N_PROPOSED,
    NOTHING,
    CalibrationSet,
    Guarantee,
    design_images,
    least_images,
    threshold,
    threshold_of_all,
    threshold_of_kept,
)
from tests.fixtures.judged import kept_and_lost, random_halves
from tests.fixtures.resampled import levels, seeds, tied_objects

ALPHA = 0.1


def population(
    rng: np.random.Generator, n_groups: int, failure_rate: float = 0.5, skill: float = 1.0
) -> CalibrationSet:
    """Images of one to eight objects that share much of their fate.

    An object falls short with the probability ``2 failure_rate u^skill``, u its uncertainty.
    """
    group = np.repeat(np.arange(n_groups), rng.integers(1, 9, n_groups))
    uncertainty = (rng.random(n_groups)[group] + rng.random(len(group))) / 2
    luck = (rng.random(n_groups)[group] + rng.random(len(group))) / 2
    return CalibrationSet.of(uncertainty, luck < 2 * failure_rate * uncertainty**skill, group)


def some_judged(seed: int, n_levels: int) -> CalibrationSet:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    return CalibrationSet.of(uncertainty, risk > 0.7, resamples.group)


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


@pytest.mark.parametrize("of", GUARANTEES)
def test_what_cannot_be_guaranteed_is_refused(of: str) -> None:
    judged = population(np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, got nan"):
        threshold(judged, Guarantee(of, 0.5, np.nan))
    with pytest.raises(ValueError, match="a calibration must have at least one object, got none"):
        threshold(judged.of_images(np.zeros(3, bool)), Guarantee(of, 0.5, ALPHA))


def shown_one_by_one(judged: CalibrationSet, is_design: np.ndarray, is_test: np.ndarray) -> float:
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


def test_a_threshold_is_of_all_images() -> None:
    rng = np.random.default_rng(0)
    uncertainty = rng.random(N_OBJECTS)
    judged = CalibrationSet.of(uncertainty, rng.random(N_OBJECTS) < uncertainty**4, GROUP)
    expected = threshold_of_all(judged, 0.1)
    assert threshold(judged, Guarantee("all", 0.5, 0.1)) == expected > 0
    kept = [threshold(judged, Guarantee("kept", 0.5, 0.2)) for _ in range(2)]
    assert kept[0] == kept[1] > NOTHING


@pytest.mark.parametrize(("of", "alpha"), [*product(GUARANTEES, (0.05, 0.1, 0.2, 0.3, 0.4))])
def test_the_least_images_show_something_of_sound_masks_and_one_less_nothing(
    of: str, alpha: float
) -> None:
    guarantee = Guarantee(of, 0.5, alpha)

    def kept(n_images: int) -> float:
        sound = CalibrationSet.of(np.zeros(n_images), np.zeros(n_images, bool), np.arange(n_images))
        return threshold(sound, guarantee)

    assert kept(least_images(guarantee)) == 0
    assert kept(least_images(guarantee) - 1) == kept(1) == NOTHING
