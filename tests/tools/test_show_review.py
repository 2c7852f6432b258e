"""The table of the first looks counts wrong masks, and the table of stops follows the rule."""

import numpy as np
import pandas as pd
import pytest

from pipeline.scenes.scene import draw_scene
from stages.predictor.loading import load_predictor
from tools.show_review import ORDERS, SHARES, found, found_table, masks_of, stop_table, stopped


def test_an_order_that_knows_the_wrong_masks_finds_them_first() -> None:
    iou = np.array([0.9, 0.1, 0.6, 0.3, 0.8, 0.7, 0.95, 0.85, 0.65, 0.75])
    assert SHARES == (0.1, 0.2, 0.5)
    assert found(np.stack([iou, iou], axis=1)) == [0.5, 1, 1]
    assert found(np.stack([iou, -iou], axis=1)) == [0, 0, 0]
    assert found(np.stack([np.ones(4), np.ones(4)], axis=1)) == [0, 0, 0]


def test_a_review_stops_where_the_masks_left_are_expected_to_be_good() -> None:
    expected = np.repeat([0.1, 0.99], [50, 200])
    review = pd.DataFrame({"expected_iou": expected, "unlike_training": 0.5, "iou": expected})
    share, left = stopped(review, 0.9) or (0.0, 0.0)
    assert 0.1 < share <= 0.2
    assert left > 0.9
    assert stopped(review.assign(unlike_training=np.nan), 0.9) is None


@pytest.mark.slow
def test_the_tables_have_a_row_for_each_prompt_and_order() -> None:
    scenes = [draw_scene(seed, 128) for seed in range(6)]
    masks = masks_of(load_predictor("mini", "tiny"), ((s.rgb, list(s.masks)) for s in scenes))
    assert len(masks) == 2 * sum(len(scene.masks) for scene in scenes)
    assert not masks.isna().to_numpy().any()
    lines = found_table({"scenes": masks}).splitlines()
    assert len(lines) == 2 + 2 * len(ORDERS)
    assert len(stop_table(masks).splitlines()) == 2 + 2 * 3
