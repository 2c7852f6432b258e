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
    compress_runs,
    decode_rle,
    encode_rle,
    smallest_around,
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


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_runs_of_no_pixels_are_decoded_as_pycocotools_does(runs: list[int]) -> None:
    height_px = sum(runs)
    counts = compress_runs(runs, height_px, 1)
    theirs = coco_mask.decode({"size": [height_px, 1], "counts": counts.encode()})

    np.testing.assert_array_equal(decode_rle(counts, height_px, 1), theirs.astype(bool))


@given(st.text(st.characters(min_codepoint=47, max_codepoint=112), max_size=20))
def test_any_text_is_a_mask_or_a_data_error(counts: str) -> None:
    try:
        mask = decode_rle(counts, 6, 7)
    except DataError:
        return
    assert mask.shape == (6, 7)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", "RLE counts must be characters '0' to 'o', got ''"),
        ("1P", "RLE counts must be numbers of up to 11 characters, got '1P'"),
        ("62O0", "RLE runs must be >= 0, got -1"),
        (";23000", "RLE runs must cover 5 x 7 = 35 pixels, got 23"),
    ],
)
def test_malformed_counts_are_refused(counts: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_rle(counts, 5, 7)


def test_no_runs_at_all_are_refused() -> None:
    with pytest.raises(DataError, match="RLE runs must cover 3 x 4 = 12 pixels, got 0"):
        compress_runs([], 3, 4)


@given(st.integers(0, 2**32 - 1))
def test_the_smallest_segment_of_each_person_around_a_pixel_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = [(int(rng.integers(3)), rng.random((5, 7)) < rng.random()) for _ in range(6)]
    x, y = rng.integers(0, (7, 5), (4, 2)).T
    found = smallest_around([(who, encode_rle(mask)) for who, mask in drawn], x * 5 + y, 3)
    for column, row, around in zip(x, y, found, strict=True):
        for person, rle in enumerate(around):
            own = [mask for who, mask in drawn if who == person and mask[row, column]]
            assert bool(rle) == bool(own)
            if own:
                mask = decode_rle(rle, 5, 7)
                assert mask[row, column]
                assert mask.sum() == min(mask.sum() for mask in own)
