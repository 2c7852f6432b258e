"""Run lengths against pycocotools, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from storage.errors import DataError
from storage.rle import (
    area_rle,
    compress_polygons,
    compress_runs,
    decode_rle,
    encode_rle,
    parse_counts,
)

# Not ours: pycocotools' decoder still takes arrays in the way of NumPy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(masks)
def test_decoding_undoes_encoding(mask: np.ndarray) -> None:
    decoded = decode_rle(encode_rle(mask), *mask.shape)

    np.testing.assert_array_equal(decoded, mask)
    assert decoded.flags.c_contiguous


@given(masks)
def test_encoding_is_that_of_pycocotools(mask: np.ndarray) -> None:
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))

    assert encode_rle(mask).encode() == theirs["counts"]
    assert area_rle(encode_rle(mask)) == coco_mask.area(theirs) == mask.sum()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_runs_survive_compression(runs: list[int]) -> None:
    counts = compress_runs(runs, sum(runs), 1)

    assert parse_counts(counts).tolist() == runs


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_runs_of_no_pixels_are_decoded_as_pycocotools_does(runs: list[int]) -> None:
    height_px = sum(runs)
    counts = compress_runs(runs, height_px, 1)
    theirs = coco_mask.decode({"size": [height_px, 1], "counts": counts.encode()})

    np.testing.assert_array_equal(decode_rle(counts, height_px, 1), theirs.astype(bool))


@given(st.text(max_size=12) | st.text(st.characters(min_codepoint=48, max_codepoint=111)))
def test_any_text_is_a_mask_or_a_data_error(counts: str) -> None:
    try:
        mask = decode_rle(counts, 6, 7)
    except DataError:
        return
    assert mask.shape == (6, 7)


@given(
    st.lists(
        st.lists(st.tuples(st.floats(-5, 45), st.floats(-5, 35)), min_size=3, max_size=8),
        min_size=1,
        max_size=3,
    )
)
def test_polygons_become_the_union_that_pycocotools_draws(
    polygons: list[list[tuple[float, float]]],
) -> None:
    flat = [[v for corner in polygon for v in corner] for polygon in polygons]
    parts = coco_mask.frPyObjects(flat, 30, 40)

    ours = decode_rle(compress_polygons(flat, 30, 40), 30, 40)

    np.testing.assert_array_equal(ours, coco_mask.decode(parts).any(axis=2))


@pytest.mark.parametrize("polygons", [[], [[]], [[1.0, 1.0, 5.0, 5.0]]])
def test_polygons_without_three_corners_enclose_nothing(polygons: list[list[float]]) -> None:
    assert area_rle(compress_polygons(polygons, 8, 9)) == 0


def test_a_polygon_of_two_corners_is_no_box_beside_a_whole_one() -> None:
    triangle = [0.0, 0.0, 4.0, 0.0, 0.0, 4.0]

    both = compress_polygons([triangle, [1.0, 1.0, 8.0, 8.0]], 8, 9)

    assert both == compress_polygons([triangle], 8, 9)


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([1.0] * 7, "polygon must have an even number of coordinates, got 7"),
        ([1.0] * 5 + [1e12], r"polygon must lie within 9 px of its image, got 1000000000000.0"),
        ([1.0] * 5 + [float("nan")], "polygon must lie within 9 px of its image, got nan"),
        ([-9.5] + [1.0] * 5, "polygon must lie within 9 px of its image, got -9.5"),
    ],
)
def test_malformed_polygons_are_refused(polygon: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        compress_polygons([polygon], 8, 9)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", "RLE counts must be characters '0' to 'o', got ''"),
        ("12 3", "RLE counts must be characters '0' to 'o', got '12 3'"),
        ("1é", "RLE counts must be characters"),
        ("1P", "RLE counts must be numbers of up to 11 characters, got '1P'"),
        ("P" * 200 + "0", r"numbers of up to 11 characters, got 'P{20,50}\.\.\.P{20,50}0'"),
        ("62O0", "RLE runs must be >= 0, got -1"),
        (";23000", "RLE runs must cover 5 x 7 = 35 pixels, got 23"),
        (";2300095", "RLE runs must cover 5 x 7 = 35 pixels, got"),
    ],
)
def test_malformed_counts_are_refused(counts: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_rle(counts, 5, 7)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([3, 3, 3], "RLE runs must cover 3 x 4 = 12 pixels, got 9"),
        ([3, -1, 10], "RLE runs must be >= 0, got -1"),
        ([], "RLE runs must cover 3 x 4 = 12 pixels, got 0"),
    ],
)
def test_runs_that_do_not_cover_the_image_are_refused(runs: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        compress_runs(runs, 3, 4)
