"""Annotations to check: how much models doubt them, and their order."""

import numpy as np
import pandas as pd

from pipeline.annotations import (
    annotation_doubt,
    annotation_table,
    doubted_rows,
    model_evidence,
)


def test_an_annotation_is_doubted_if_good_masks_are_expected_and_do_not_reach_it() -> None:
    expected_iou = np.array([[0.9, 0.9], [0.9, 0.9], [0.1, 0.1], [0.9, 0.1]])
    iou = np.array([[0.2, 0.2], [0.9, 0.9], [0.2, 0.2], [0.2, 0.2]])
    doubt = annotation_doubt(expected_iou, iou)
    np.testing.assert_allclose(doubt, [0.72, 0.09, 0.08, 0.4])


def test_the_table_has_every_object_once_and_the_most_doubted_first() -> None:
    rng = np.random.default_rng(0)
    expected_iou, iou = rng.random((2, 9, 4), np.float32)
    iou[3], iou[5] = iou[2], iou[2]
    expected_iou[3] = expected_iou[5] = expected_iou[2]  # ties keep the order of the split
    file = np.array([f"{row // 3}.png" for row in range(9)])
    table = annotation_table(np.arange(9) + 70, file, np.arange(9) // 3, "box", expected_iou, iou)
    assert table["rank"].tolist() == list(range(1, 10))
    assert sorted(table["row"]) == list(range(9))
    assert (table["object_id"] == table["row"] + 70).all()
    assert (table["group"] == table["row"] // 3).all()
    assert table["file"].tolist() == [f"{group}.png" for group in table["group"]]
    assert table["doubt"].is_monotonic_decreasing
    np.testing.assert_allclose(
        table["doubt"], (expected_iou * (1 - iou)).mean(axis=1)[table["row"]], rtol=1e-5
    )
    tied = table[table["row"].isin([2, 3, 5])]
    assert tied["row"].tolist() == [2, 3, 5]
    shown = doubted_rows(table, "large", 2)
    pd.testing.assert_frame_equal(
        shown[["rank", "row", "object_id"]], table[["rank", "row", "object_id"]].head(2)
    )


def test_a_click_that_finds_the_whole_object_raises_what_the_box_of_a_half_hides() -> None:
    expected_iou = np.array([[[0.4, 0.2, 0.1], [0.3, 0.9, 0.2]]])  # box, click
    of_selected, iou = expected_iou[:, 0, 0], np.array([[[0.7, 0.1, 0.2], [0.3, 0.5, 0.1]]])
    expected, highest = model_evidence(of_selected, expected_iou, iou)
    np.testing.assert_allclose((expected, highest), ([0.65], [0.7]))
    assert model_evidence(of_selected, expected_iou[:, :1], iou[:, :1])[0] < expected
