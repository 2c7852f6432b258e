"""Laws and oracles of the correction curve."""

from dataclasses import astuple
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scoring.auc import correction_auc, correction_curve

iou_values = st.floats(0, 1, allow_subnormal=False)


@st.composite
def scored_objects(
    draw: st.DrawFn, max_size: int = 30, levels: int = 1000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IoU, corrected IoU and uncertainty; few ``levels`` of uncertainty make ties."""
    n = draw(st.integers(1, max_size))
    columns = st.lists(iou_values, min_size=n, max_size=n)
    ranks = st.lists(st.integers(0, levels - 1), min_size=n, max_size=n)
    iou, corrected, uncertainty = draw(columns), draw(columns), draw(ranks)
    return np.array(iou), np.array(corrected), np.array(uncertainty, dtype=np.float64)


def area_of_order(iou: np.ndarray, corrected: np.ndarray, order: list[int]) -> float:
    """Correct one object at a time, measure the mean IoU, sum the trapezoids."""
    current = [float(value) for value in iou]
    heights = [sum(current) / len(current)]
    for index in order:
        current[index] = float(corrected[index])
        heights.append(sum(current) / len(current))
    steps = pairwise(heights)
    return sum((left + right) / 2 / len(current) for left, right in steps)


def brute_force_auc(iou: np.ndarray, corrected: np.ndarray, uncertainty: np.ndarray) -> float:
    """Mean area over every order that the uncertainties allow."""
    areas = [
        area_of_order(iou, corrected, list(order))
        for order in permutations(range(len(iou)))
        if all(uncertainty[a] >= uncertainty[b] for a, b in pairwise(order))
    ]
    return sum(areas) / len(areas)


@given(scored_objects(max_size=20))
def test_equals_a_loop_that_corrects_one_object_at_a_time(
    objects: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    iou, corrected, _ = objects
    uncertainty = np.random.default_rng(0).permutation(len(iou)).astype(float)
    expected = area_of_order(iou, corrected, list(np.argsort(-uncertainty)))
    assert correction_auc(iou, corrected, uncertainty).auc == pytest.approx(expected, abs=1e-12)


@given(scored_objects(max_size=6, levels=3))
def test_ties_count_as_the_mean_over_all_their_orders(
    objects: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    expected = brute_force_auc(*objects)
    assert correction_auc(*objects).auc == pytest.approx(expected, abs=1e-12)


@given(scored_objects(max_size=6))
def test_no_order_is_above_the_oracle_or_below_the_worst(
    objects: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    iou, corrected, uncertainty = objects
    areas = [area_of_order(iou, corrected, list(o)) for o in permutations(range(len(iou)))]
    result = correction_auc(iou, corrected, uncertainty)
    assert result.oracle == pytest.approx(max(areas), abs=1e-12)
    assert result.worst == pytest.approx(min(areas), abs=1e-12)


@given(scored_objects(levels=8))
def test_relative_auc_lies_between_worst_and_oracle(
    objects: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    result = correction_auc(*objects)
    assert result.worst <= result.auc <= result.oracle
    if result.oracle > result.worst:
        assert 0 <= result.relative <= 1
    else:
        assert np.isnan(result.relative)


def test_infinite_uncertainty_goes_first() -> None:
    iou, corrected = np.array([0.5, 0.1]), np.array([0.5, 0.9])
    result = correction_auc(iou, corrected, np.array([3.0, np.inf]))
    assert result.relative == 1


def test_single_precision_is_summed_in_double() -> None:
    rng = np.random.default_rng(1)
    # Cubes: differences of the generator's own values are exact in single precision.
    columns = rng.random((3, 20_000), dtype=np.float32) ** 3
    single = correction_auc(*columns)
    double = correction_auc(*columns.astype(np.float64))
    assert astuple(single) == pytest.approx(astuple(double), abs=1e-13, rel=0)


def test_rounding_lifts_no_order_above_the_oracle() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        gain = rng.choice([0.1, 0.2, 0.3], 50)
        # As good as the oracle, which leaves equal gains tied where this does not.
        result = correction_auc(np.zeros(50), gain, gain + 0.01 * rng.random(50))
        assert result.auc <= result.oracle
        assert result.relative <= 1


@given(scored_objects(levels=5))
def test_the_area_under_the_curve_is_the_auc(
    objects: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    fraction, mean_iou = correction_curve(*objects, n_points=len(objects[0]) + 1)
    area = np.trapezoid(mean_iou, fraction)
    assert area == pytest.approx(correction_auc(*objects).auc, abs=1e-12)


@given(scored_objects(max_size=5, levels=2))
def test_a_curve_is_the_mean_curve_of_the_orders_of_its_ties(
    objects: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    iou, corrected, uncertainty = objects
    orders = [
        list(order)
        for order in permutations(range(len(iou)))
        if all(uncertainty[a] >= uncertainty[b] for a, b in pairwise(order))
    ]
    gains = [np.concatenate([[0], np.cumsum((corrected - iou)[order])]) for order in orders]
    expected = iou.mean() + np.mean(gains, axis=0) / len(iou)
    assert correction_curve(*objects, n_points=len(iou) + 1)[1] == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        pytest.param(([], [], []), "at least 1, got .0, 0, 0.", id="no object"),
        pytest.param(([0.1], [0.1, 0.2], [1.0]), "the same length", id="lengths differ"),
        pytest.param(([np.nan], [0.1], [1.0]), "iou must be finite", id="NaN IoU"),
        pytest.param(
            ([0.1], [np.inf], [1.0]),
            "corrected_iou must be finite, got NaN or infinity for 1 of 1",
            id="infinite IoU",
        ),
        pytest.param(
            ([0.1], [0.1], [np.nan]),
            "uncertainty must not be NaN, got NaN for 1 of 1",
            id="NaN measure",
        ),
    ],
)
def test_faulty_columns_are_refused(columns: tuple[list[float], ...], message: str) -> None:
    iou, corrected, uncertainty = (np.array(column, dtype=np.float64) for column in columns)
    # Under test the annotations refuse lengths that differ first.
    auc = getattr(correction_auc, "__wrapped__", correction_auc)
    with pytest.raises(ValueError, match=message):
        auc(iou, corrected, uncertainty)
