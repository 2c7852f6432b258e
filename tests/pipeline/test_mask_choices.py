"""The choice of a mask among proposals and cuts, against a slow search."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.mask_choices import choose_masks, selected_masks
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
