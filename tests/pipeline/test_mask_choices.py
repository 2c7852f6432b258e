"""The choice of a mask among proposals and cuts, against a slow search."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.mask_choices import choice_gain, choose_masks, selected_masks
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


def test_a_gain_counts_all_objects_and_its_excess_those_with_another_mask() -> None:
    rng = np.random.default_rng(0)
    expected, iou = rng.random((2, 60, 3, len(CUTS)))
    sam_score, group = rng.random((60, 3)), np.repeat(np.arange(12), 5)
    expected[:20, :, 4] += 5 * np.eye(3)[sam_score[:20].argmax(axis=1)]
    found = choice_gain("box", expected, iou, sam_score, group)
    rows = np.arange(60)
    place = expected.reshape(60, 27).argmax(axis=1)
    chosen, selected = iou.reshape(60, 27)[rows, place], iou[rows, sam_score.argmax(axis=1), 4]
    assert (found.prompt, found.n_images) == ("box", 12)
    np.testing.assert_allclose(found.gain, (chosen - selected).mean())
    assert found.low < found.gain < found.high
    others = chosen != selected
    assert 30 < others.sum() <= 40
    np.testing.assert_allclose(found.excess, (expected.max(axis=(1, 2)) - chosen)[others].mean())


def test_of_two_images_nothing_is_known_and_without_another_mask_nothing_is_overstated() -> None:
    expected = np.tile(np.eye(9)[4], (4, 3, 1))
    found = choice_gain("center", expected, expected, np.eye(4, 3), np.array([0, 0, 1, 1]))
    assert (found.gain, found.excess, found.low, found.high) == (0, 0, -1, 1)
    assert not found.is_sure
