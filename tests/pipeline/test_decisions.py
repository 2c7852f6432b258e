"""Choices by expected gain and cost, and what they are worth."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.decisions import Decisions, choose
from pipeline.scoring.bootstrap import LEAST_GROUPS, resample_groups, scores
from pipeline.scoring.scores import Keys

NET: Final = arrays(
    np.float64, st.tuples(st.integers(1, 8), st.just(3)), elements=st.integers(-4, 4)
).map(lambda net: net * (np.arange(3) > 0))
"""Nets of three choices, of which the first keeps the mask."""


def test_the_highest_gain_beyond_its_cost_is_chosen_and_the_first_of_a_tie() -> None:
    gains = np.array([[0, 0.3, 0.4], [0, 0.05, 0.1], [0, 0.2, 0.3], [0, -0.1, 0.9]])
    costs = np.array([0, 0.125, 0.25])
    assert choose(gains, costs).tolist() == [1, 0, 1, 2]
    assert choose(np.zeros((1, 3)), np.zeros(3)).tolist() == [0]


@given(NET, st.data())
def test_no_threshold_of_a_score_nets_more_than_the_one_chosen_in_hindsight(
    net: np.ndarray, data: st.DataObject
) -> None:
    score = data.draw(arrays(np.float64, len(net), elements=st.integers(0, 3)))
    found = Decisions(net).by_score(score)
    tried = [
        np.where(score <= threshold, net[:, correction], 0).mean()
        for threshold in range(-1, 4)
        for correction in range(3)
    ]
    assert found.mean() == pytest.approx(max(tried))


@given(NET, st.data())
def test_regret_is_what_is_lost_to_hindsight_and_the_margin_what_is_won_over_the_best_fixed_choice(
    net: np.ndarray, data: st.DataObject
) -> None:
    decisions = Decisions(net)
    chosen = data.draw(arrays(np.int64, len(net), elements=st.integers(0, 2)))
    own = np.array([row[number] for row, number in zip(net, chosen, strict=True)])
    resamples = resample_groups(np.arange(len(net)), 20, seed=0)
    statistics = decisions.statistics(decisions.chosen(chosen), resamples)
    regret, margin = scores([(Keys(), statistics)], resamples.n_groups)
    assert regret.value == pytest.approx(np.mean([max(row) for row in net]) - own.mean())
    assert margin.value == pytest.approx(own.mean() - max(net.mean(axis=0)))
    assert regret.value >= 0
    assert regret.interval.low >= 0 or len(net) < LEAST_GROUPS
