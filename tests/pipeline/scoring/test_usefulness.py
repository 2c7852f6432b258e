"""The AURC in each resample, against a slow version."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scoring.bootstrap import Resamples, resample_groups
from pipeline.scoring.usefulness import aurc
from tests.fixtures.resampled import drawn_objects, levels, seeds, tied_objects

small_tables = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0, 1), min_size=n, max_size=n),
        st.lists(st.integers(0, 2), min_size=n, max_size=n),
    )
)


def area_of_order(risk: np.ndarray, order: tuple[int, ...]) -> float:
    """Keep one object more at a time, measure the mean risk of those kept, average."""
    means = [float(np.mean(risk[list(order[: k + 1])])) for k in range(len(order))]
    return sum(means) / len(means)


def mean_over_orders(risk: np.ndarray, uncertainty: np.ndarray) -> float:
    areas = [
        area_of_order(risk, order)
        for order in permutations(range(len(risk)))
        if all(uncertainty[a] <= uncertainty[b] for a, b in pairwise(order))
    ]
    return sum(areas) / len(areas)


def each_once(n_objects: int) -> Resamples:
    """The objects themselves."""
    return resample_groups(np.zeros(n_objects, np.int64), 0, seed=0)


def area(risk: np.ndarray, uncertainty: np.ndarray) -> float:
    return float(aurc(risk, uncertainty, each_once(len(risk)))[0])


@settings(max_examples=40, deadline=None)
@given(small_tables)
def test_ties_count_as_the_mean_over_all_their_orders(
    table: tuple[list[float], list[int]],
) -> None:
    risk, uncertainty = (np.array(column, dtype=np.float64) for column in table)
    assert area(risk, uncertainty) == pytest.approx(mean_over_orders(risk, uncertainty), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds, levels)
def test_each_resample_is_what_its_objects_give(seed: int, n_levels: int) -> None:
    risk, uncertainty, resamples = tied_objects(seed, n_levels)
    found = aurc(risk, uncertainty, resamples)
    for resample in range(len(resamples)):
        rows = drawn_objects(resamples, resample)
        assert found[resample] == pytest.approx(area(risk[rows], uncertainty[rows]), abs=1e-12)
