"""Ground truth at the size of masks."""

import numpy as np
import pytest
from scipy import ndimage

from pipeline.entropy.comparisons import truth_at_size


def shares(n_from: int, n_to: int) -> np.ndarray:
    """How much of each old pixel lies in each new one, along an axis."""
    edges = np.arange(n_to + 1) * n_from / n_to
    overlap = np.minimum(edges[1:, None], np.arange(1, n_from + 1)) - np.maximum(
        edges[:-1, None], np.arange(n_from)
    )
    return overlap.clip(0) * n_to / n_from


@pytest.mark.parametrize("size", [(48, 64), (17, 5), (9, 40), (16, 16)])
def test_a_pixel_is_foreground_where_more_than_half_of_it_is(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(size))
    mask = ndimage.gaussian_filter(rng.normal(size=size), 1.5) > 0
    share = shares(size[0], 16) @ mask @ shares(size[1], 16).T
    is_clear = np.abs(share - 0.5) > 1e-6
    found = truth_at_size(mask, 16, 16)
    np.testing.assert_array_equal(found[is_clear], share[is_clear] > 0.5)


def test_a_pixel_of_which_exactly_half_is_foreground_is_background() -> None:
    halves, mask = np.zeros((32, 32), bool), np.zeros((32, 32), bool)
    halves[::2, 8:16] = True
    mask[20:28, 20:28] = True
    np.testing.assert_array_equal(truth_at_size(halves | mask, 16, 16), truth_at_size(mask, 16, 16))


def test_an_object_of_less_than_half_a_pixel_is_where_most_of_it_is() -> None:
    mask = np.zeros((64, 64), bool)
    mask[20, 30] = True
    found = truth_at_size(mask, 16, 16)
    assert np.argwhere(found).tolist() == [[5, 7]]
