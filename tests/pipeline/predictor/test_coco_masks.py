"""Masks as COCO writes them are drawn again by COCO's tools, and its polygons have no holes."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pipeline.predictor.coco_masks import polygons, rle
from storage.datasets.coco import compress_polygons
from storage.rle import decode_rle

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans())


def without_holes(mask: np.ndarray) -> np.ndarray:
    """All that no path over background pixels, side by side, leads to from outside."""
    background = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, parts = cv2.connectedComponents(background, connectivity=4)
    return np.asarray(parts != parts[0, 0])[1:-1, 1:-1]


@given(masks)
def test_polygons_are_drawn_as_the_mask_without_its_holes(mask: np.ndarray) -> None:
    drawn = decode_rle(compress_polygons(polygons(mask), *mask.shape), *mask.shape)
    np.testing.assert_array_equal(drawn, without_holes(mask))


@given(masks)
def test_run_lengths_are_those_of_the_mask(mask: np.ndarray) -> None:
    found = rle(mask)
    np.testing.assert_array_equal(decode_rle(found["counts"], *found["size"]), mask)


def test_each_part_has_an_outline_along_the_edges_of_its_pixels() -> None:
    mask = np.zeros((5, 7), bool)
    mask[1, 2] = mask[3:5, 5:7] = True
    assert sorted(polygons(mask)) == [[2, 1, 2, 2, 3, 2, 3, 1], [5, 3, 5, 5, 7, 5, 7, 3]]
    assert polygons(np.zeros((5, 7), bool)) == []
