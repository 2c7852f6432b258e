"""What simple ways to choose a correction net, beside which advice is judged."""

from typing import Final

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tools.advice_tables import advised_words, net_by_score

NET: Final = arrays(
    np.float64, st.tuples(st.integers(1, 8), st.just(3)), elements=st.integers(-4, 4)
).map(lambda net: net * (np.arange(3) > 0))
"""Nets of three choices, of which the first keeps the mask."""


@given(NET, st.data())
def test_no_threshold_of_a_score_nets_more_than_the_one_chosen_in_hindsight(
    net: np.ndarray, data: st.DataObject
) -> None:
    score = data.draw(arrays(np.float64, len(net), elements=st.integers(0, 3)))
    tried = [
        np.where(score <= threshold, net[:, correction], 0).mean()
        for threshold in range(-1, 4)
        for correction in range(3)
    ]
    assert net_by_score(net, score).mean() == pytest.approx(max(tried))


@pytest.mark.parametrize(
    ("advice", "words"),
    [
        ("keep", "of 2 masks that got it in 1 fresh scenes, the mean IoU after it is 0.80"),
        ("segmentation", "of 1 masks that got it in 1 fresh scenes, the mean IoU is 0.10"),
    ],
)
def test_a_drawn_mask_is_judged_by_the_mask_before(advice: str, words: str) -> None:
    gains = {f"gain {name}": 0.0 for name in ("model", "prompt", "task")}
    own = np.array([0.9, 0.95, 0.2])
    rows = pd.DataFrame({"image": 0, "expected_iou": own, "gain segmentation": 1 - own, **gains})
    rows["iou keep"], rows["iou segmentation"] = [0.7, 0.9, 0.1], 1.0
    assert words in advised_words(rows, advice)
