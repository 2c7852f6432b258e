"""Laws of the clicks, and a slow oracle of the centre."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.prompts import depth_px, measure_objects, sample_prompts
from pipeline.seeds import derive_seed
from pipeline.vocabulary import SINGLE_CLICKS


def _box_mask(shape: tuple[int, int], x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y : y + h, x : x + w] = True
    return mask


masks = hnp.arrays(
    bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans()
).filter(np.any)
boxes = st.builds(
    _box_mask,
    st.just((20, 25)),
    *(st.integers(0, 10) for _ in range(2)),
    *(st.integers(1, 14) for _ in range(2)),
)
seeds = st.integers(0, 2**64 - 1)


def _slow_inner(mask: np.ndarray) -> np.ndarray:
    """Erosion by the definition: what of a 5x5 neighbourhood lies in the frame is foreground."""
    inner = np.zeros_like(mask)
    for y, x in np.ndindex(mask.shape):
        inner[y, x] = mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].all()
    return inner if inner.any() else mask


def _slow_center(mask: np.ndarray) -> tuple[int, int]:
    pixels = [(int(y), int(x)) for y, x in np.argwhere(_slow_inner(mask))]
    mean_y = Fraction(sum(y for y, _ in pixels), len(pixels))
    mean_x = Fraction(sum(x for _, x in pixels), len(pixels))
    y, x = min(pixels, key=lambda p: ((p[0] - mean_y) ** 2 + (p[1] - mean_x) ** 2, p))
    return x, y


@given(masks | boxes, seeds)
def test_every_click_lies_on_the_eroded_object(mask: np.ndarray, seed: int) -> None:
    points = sample_prompts(mask, seed)

    assert points.shape == (len(SINGLE_CLICKS), 2)
    assert points.dtype == np.int32
    assert _slow_inner(mask)[points[:, 1], points[:, 0]].all()


@given(masks | boxes, seeds)
def test_center_is_the_first_pixel_closest_to_the_mean(mask: np.ndarray, seed: int) -> None:
    assert tuple(sample_prompts(mask, seed)[0]) == _slow_center(mask)


@given(masks | boxes, seeds)
def test_random_clicks_repeat_only_below_seven_pixels(mask: np.ndarray, seed: int) -> None:
    n_distinct = len({tuple(point) for point in sample_prompts(mask, seed)[1:]})
    n_pixels = int(_slow_inner(mask).sum())

    assert n_distinct <= n_pixels
    if n_pixels >= 7:
        assert n_distinct == 7


@given(masks, seeds)
def test_the_seed_alone_fixes_the_clicks_whatever_the_memory_order(
    mask: np.ndarray, seed: int
) -> None:
    np.testing.assert_array_equal(
        sample_prompts(mask, seed), sample_prompts(np.asfortranarray(mask), seed)
    )


def test_another_seed_moves_the_random_clicks_and_never_the_center() -> None:
    mask = _box_mask((40, 50), 5, 5, 30, 20)
    points = np.stack([sample_prompts(mask, seed) for seed in range(50)])

    assert len(np.unique(points[:, 0], axis=0)) == 1
    assert len(np.unique(points[:, 1:].reshape(50, -1), axis=0)) == 50


def test_random_clicks_are_uniform_over_the_eroded_object() -> None:
    mask = _box_mask((12, 12), 2, 2, 8, 8)
    points = np.concatenate([sample_prompts(mask, seed)[1:] for seed in range(1600)])
    counts = np.bincount(points[:, 1] * 12 + points[:, 0])
    expected = 1600 * 7 / 16

    assert np.count_nonzero(counts) == 16
    # Chi-square with 15 degrees of freedom: 37.7 is passed once in a thousand.
    assert ((counts[counts > 0] - expected) ** 2 / expected).sum() < 37.7


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="mask must have a foreground pixel, got none in 12"):
        sample_prompts(np.zeros((3, 4), bool), seed=0)


@given(st.lists(st.tuples(masks, seeds), max_size=4))
def test_areas_boxes_and_clicks_follow_the_masks(objects: list[tuple[np.ndarray, int]]) -> None:
    truth = measure_objects(iter(objects))
    assert truth.point_px.shape == (len(objects), len(SINGLE_CLICKS), 2)
    for k, (mask, seed) in enumerate(objects):
        y, x = np.nonzero(mask)
        assert truth.area_px[k] == len(x)
        assert truth.box_px[k].tolist() == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        np.testing.assert_array_equal(truth.point_px[k], sample_prompts(mask, seed))


def test_center_is_exact_on_large_images() -> None:
    mask = np.zeros((3000, 3001), bool)
    mask[::2, 1:] = True

    # Nothing survives the erosion of lines one pixel high; the mean lies at (1500.5, 1499).
    assert sample_prompts(mask, seed=0)[0].tolist() == [1500, 1498]


def test_the_seed_of_an_object_stays_what_it_was() -> None:
    assert derive_seed(0, "000000000139.jpg", 7) == 16066466233698004836


@pytest.mark.parametrize("n_threads", [1, 2])
def test_depths_do_not_depend_on_the_threads_of_opencv(n_threads: int) -> None:
    y, x = np.mgrid[:64, :90]
    before = cv2.getNumThreads()
    cv2.setNumThreads(n_threads)
    depth = depth_px(np.hypot(x - 50, y - 30) < 28)
    cv2.setNumThreads(before)
    np.testing.assert_array_equal(depth, np.sqrt(np.rint(depth.astype(float) ** 2), dtype="f4"))


parts = st.lists(st.one_of(st.integers(), st.text("abc/.", max_size=4)), min_size=1, max_size=4)


@given(one=parts, other=parts)
def test_other_names_give_other_seeds(one: list[int | str], other: list[int | str]) -> None:
    same = [str(part) for part in one] == [str(part) for part in other]
    assert (derive_seed(*one) == derive_seed(*other)) == same
