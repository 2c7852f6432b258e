import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pipeline.entropy.mixtures import mask_entropy
from pipeline.masks import DECODE_TABLE, N_CODES, decode, encode
from tests.fixtures.drawn_masks import soft_masks

ALL_CODES = np.arange(N_CODES, dtype=np.uint8)
PROBABILITIES = arrays(np.float64, array_shapes(min_dims=0, max_dims=3), elements=st.floats(0, 1))


def test_the_table_is_the_formula() -> None:
    # Every logit between the ends of a code counts alike.
    logits = np.linspace(-18, 18, 2_000_001)
    p = 1 / (1 + np.exp(-logits))
    code = encode(p)
    means = np.bincount(code, p) / np.bincount(code)
    np.testing.assert_allclose(DECODE_TABLE[1:-1], means[1:-1], rtol=1e-5)
    assert DECODE_TABLE[[0, -1]].tolist() == [0, 1]
    assert DECODE_TABLE.dtype == np.float32


def test_every_code_survives_the_round_trip() -> None:
    np.testing.assert_array_equal(encode(decode(ALL_CODES)), ALL_CODES)


@given(PROBABILITIES)
def test_a_probability_moves_by_a_step_at_most(p: np.ndarray) -> None:
    back = decode(encode(p))
    # A step is π/75 * sqrt(p (1 - p)) where it is straight; its curve adds (π/150)², and float32
    # and rounding the last term.
    bound = np.pi / 75 * np.sqrt(p * (1 - p)) + (np.pi / 150) ** 2 + 1e-7
    assert back.shape == p.shape
    assert np.all(np.abs(back - p) <= bound)


@given(PROBABILITIES)
def test_codes_are_the_formula_rounded(p: np.ndarray) -> None:
    exact = 75 * 2 / np.pi * np.arcsin(np.sqrt(p))
    assert np.all(np.abs(encode(p) - exact) <= 0.5 + 1e-9)


@given(PROBABILITIES)
def test_no_pixel_crosses_one_half(p: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode(p)) > 0.5, p > 0.5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_half_is_background_and_the_next_float_is_not(dtype: type[np.floating]) -> None:
    half = dtype(0.5)
    around = np.array([np.nextafter(half, dtype(0)), half, np.nextafter(half, dtype(1))])
    assert encode(around).tolist() == [37, 37, 38]


@pytest.mark.parametrize("seed", range(3))
def test_the_entropy_of_a_mask_stays_within_half_a_millibit(seed: int) -> None:
    p = soft_masks(seed, 4)
    np.testing.assert_allclose(mask_entropy(decode(encode(p))), mask_entropy(p), atol=5e-4, rtol=0)


@pytest.mark.parametrize("value", [-1e-6, 1.0001, 12.5, np.inf, np.nan])
def test_what_is_no_probability_is_named(value: float) -> None:
    with pytest.raises(ValueError, match=rf"probability must lie in \[0, 1\], got {value}"):
        encode(np.array([[0.5, value]]))
