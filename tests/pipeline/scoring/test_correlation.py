"""Pearson correlations against NumPy, and where NumPy only warns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.scoring.correlation import pearson


def test_equals_numpy() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)) + 3
    np.testing.assert_allclose(pearson(columns), np.corrcoef(columns, rowvar=False), atol=1e-12)


def test_single_precision_is_taken() -> None:
    columns = np.random.default_rng(0).random((50, 3), dtype=np.float32)
    np.testing.assert_allclose(pearson(columns), np.corrcoef(columns, rowvar=False), atol=1e-6)


@given(arrays(np.float64, (6, 3), elements=st.floats(-1e200, 1e200)))
def test_is_symmetric_bounded_and_one_on_the_diagonal(columns: np.ndarray) -> None:
    matrix = pearson(columns)
    np.testing.assert_array_equal(matrix, matrix.T)
    is_constant = np.ptp(columns, axis=0) == 0
    np.testing.assert_array_equal(np.diag(matrix), np.where(is_constant, np.nan, 1))
    assert (np.abs(matrix[~is_constant][:, ~is_constant]) <= 1).all()


@given(st.floats(0.01, 100), st.floats(-10, 10))
def test_a_rising_line_correlates_fully_and_a_falling_one_against_it(
    slope: float, shift: float
) -> None:
    x = np.linspace(0, 1, 20)
    matrix = pearson(np.stack([x, slope * x + shift, -slope * x], axis=1))
    assert matrix[0] == pytest.approx([1, 1, -1])


def test_a_constant_column_is_nan_without_a_warning() -> None:
    columns = np.stack([np.arange(4.0), np.full(4, 0.1), np.arange(4.0) ** 2], axis=1)
    matrix = pearson(columns)
    assert np.isnan(matrix[1]).all()
    assert np.isnan(matrix[:, 1]).all()
    assert np.isfinite(matrix[np.ix_([0, 2], [0, 2])]).all()


def test_one_object_correlates_with_nothing() -> None:
    assert np.isnan(pearson(np.array([[0.5, 0.25]]))).all()


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(np.empty((0, 2)), id="no object"),
        pytest.param(np.array([[0.0, np.nan], [1.0, 2.0]]), id="NaN"),
        pytest.param(np.array([[0.0, np.inf], [1.0, 2.0]]), id="infinite"),
    ],
)
def test_faulty_columns_are_refused(columns: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"columns must be finite and not empty, got . values"):
        pearson(columns)
