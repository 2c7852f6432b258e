"""The choice of a mask among proposals and cuts, against a slow search."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.choice_gains import N_BINS, choice_gains
from pipeline.heads.scope import LEAST_GAIN, ChoiceGain
from pipeline.mask_choices import (
    LEAST_IMAGES,
    choose_masks,
    offered_masks,
    selected_masks,
)
from pipeline.masks import CUTS


@given(arrays(np.float32, (3, 3, len(CUTS)), elements=st.floats(0, 1, width=32)))
def test_no_mask_is_expected_to_be_better_than_the_chosen_mask(expected_iou: np.ndarray) -> None:
    choices = choose_masks(expected_iou)
    for row, of_object in enumerate(expected_iou):
        masks = [(k, cut) for k in range(3) for cut in range(len(CUTS))]
        first_best = max(masks, key=lambda mask: of_object[mask])
        assert (choices.proposal[row], choices.cut[row]) == first_best
        assert choices.of(expected_iou)[row] == of_object.max()


def test_sam_selects_the_highest_score_and_cuts_at_one_half() -> None:
    selected = selected_masks(np.array([[0.1, 0.9, 0.9], [0.5, 0.2, 0.6]]))
    assert selected.proposal.tolist() == [1, 2]
    assert [CUTS[cut] for cut in selected.cut] == [0.5, 0.5]


def test_a_calibration_undoes_a_claim_that_is_twice_the_gain() -> None:
    expected, iou, sam_score, group = claims(600, truth=lambda claim: claim / 2)
    (found,) = choice_gains("box", {"tiny": (expected, iou, sam_score)}, group)
    assert (found.prompt, found.model, found.n_images) == ("box", "tiny", 12)
    assert len(found.claimed) <= N_BINS
    assert found.low < found.gain < found.high
    masks, gain = offered_masks(choose_masks(expected), selected_masks(sam_score), expected, found)
    true = masks.of(iou) - selected_masks(sam_score).of(iou)
    assert gain.mean() == pytest.approx(true.mean(), abs=1e-3)
    assert gain.max() == pytest.approx(true.max(), rel=0.1)
    is_offered = masks.differs_from(selected_masks(sam_score))
    np.testing.assert_array_equal(is_offered, gain > 0)


def test_claims_that_lose_on_other_images_are_not_offered() -> None:
    expected, iou, sam_score, group = claims(600, truth=lambda claim: claim - 0.25)
    (found,) = choice_gains("box", {"tiny": (expected, iou, sam_score)}, group)
    selected = selected_masks(sam_score)
    masks, gain = offered_masks(choose_masks(expected), selected, expected, found)
    claimed = expected.max(axis=(1, 2)) - selected.of(expected)
    is_offered = masks.differs_from(selected)
    assert is_offered[claimed > 0.3].all()
    assert not is_offered[claimed < 0.2].any()
    assert found.is_sure
    assert found.gain == pytest.approx(np.clip(claimed - 0.25, 0, None).mean(), abs=0.01)
    assert (gain >= 0).all()


def test_a_gain_is_measured_on_images_that_its_calibration_has_not_seen() -> None:
    measured, seen = [], []
    for seed in range(30):
        expected, iou, sam_score, group = claims(60, truth=np.zeros_like)
        iou[:, 1, 2] += np.random.default_rng(seed).uniform(-0.3, 0.3, 60)  # no claim is worth it
        (found,) = choice_gains("box", {"tiny": (expected, iou, sam_score)}, group)
        selected = selected_masks(sam_score)
        masks, _ = offered_masks(choose_masks(expected), selected, expected, found)
        measured.append(found.gain)
        seen.append((masks.of(iou) - selected.of(iou)).mean())
    assert abs(np.mean(measured)) < 0.01
    assert np.mean(seen) > 0.015


def test_a_calibration_is_of_one_model_and_its_gain_of_all() -> None:
    good = claims(600, truth=lambda claim: claim / 2)
    bad = claims(600, truth=lambda claim: -claim)
    found = choice_gains("box", {"tiny": good[:3], "large": bad[:3]}, good[3])
    (alone,) = choice_gains("box", {"tiny": good[:3]}, good[3])
    assert [gain.model for gain in found] == ["tiny", "large"]
    assert found[0].calibrated == alone.calibrated
    assert max(found[1].calibrated) < 0
    assert found[0].gain == found[1].gain == pytest.approx(alone.gain / 2)


@pytest.mark.parametrize("n_images", [1, 2, LEAST_IMAGES - 1])
def test_of_few_images_nothing_is_known_and_no_mask_is_offered(n_images: int) -> None:
    expected, iou, sam_score, group = claims(90, truth=lambda claim: claim)
    masks = {"tiny": (expected, iou, sam_score)}
    (found,) = choice_gains("center", masks, group % n_images)
    assert (found.claimed, found.gain, found.low, found.high) == ((), 0, -1, 1)
    assert (found.n_images, found.is_sure) == (n_images, False)
    assert not found.gain_at(np.array([0.0, 0.5, 1.0])).any()


def test_where_each_chosen_mask_is_the_selected_one_nothing_is_gained() -> None:
    expected = np.tile(np.eye(9)[4] * np.eye(3)[0][:, np.newaxis], (24, 1, 1))
    sam_score = np.tile(np.eye(3)[0], (24, 1))
    masks = {"tiny": (expected, expected, sam_score)}
    (found,) = choice_gains("center", masks, np.arange(24) // 2)
    assert (found.claimed, found.gain, found.low, found.high) == ((), 0, 0, 0)
    assert not found.is_sure


@given(
    arrays(np.float64, 10, elements=st.floats(-1, 1), unique=True),
    arrays(np.float64, 10, elements=st.floats(-0.1, 0.5)),
    arrays(np.float64, 30, elements=st.floats(-1, 1)),
)
def test_a_calibrated_gain_never_falls_and_counts_from_its_least_value(
    claimed: np.ndarray, calibrated: np.ndarray, claims: np.ndarray
) -> None:
    knots = tuple(np.sort(abs(claimed)).tolist()), tuple(np.sort(calibrated).tolist())
    found = ChoiceGain("box", "tiny", *knots, gain=0.1, low=0.1, high=0.1, n_images=20)
    gain = found.gain_at(np.sort(claims))
    assert (np.diff(gain) >= 0).all()
    assert ((gain <= 0) | (gain >= LEAST_GAIN)).all()
    assert (gain[np.sort(claims) <= 0] <= 0).all()


def claims(
    n: int, truth: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Expected and true IoUs, SamScores and images; ``truth`` gives the true gain of a claim."""
    claim = np.random.default_rng(0).uniform(0.01, 0.5, n)
    expected, iou = np.full((2, n, 3, len(CUTS)), 0.25)
    expected[:, 0, 4] = iou[:, 0, 4] = 0.5
    expected[:, 1, 2] = 0.5 + claim
    iou[:, 1, 2] = 0.5 + truth(claim)
    return expected, iou, np.tile([0.9, 0.5, 0.1], (n, 1)), np.arange(n) * 12 // n
