"""What simple ways to choose a correction net, beside which advice is judged."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tools.advice_tables import net_by_score

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
