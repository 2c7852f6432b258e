"""Boxes and corrections of the mini models, and the table of them."""

import numpy as np
import pandas as pd

from pipeline.scenes.scene import draw_scene
from tests.fixtures.predictors import trained_mini
from tools.answers import iou_of
from tools.show_prompts import N_CORRECTIONS, answer_prompts, prompts_block


def test_corrections_start_from_the_selected_mask_of_a_click_and_raise_the_iou() -> None:
    scene = draw_scene(11, 256)
    rows = answer_prompts(trained_mini(), scene.rgb, scene.masks)
    assert [*rows] == ["box", *(f"corrected_{number}" for number in range(N_CORRECTIONS + 1))]
    assert len(rows) == len(scene.masks)
    assert ((rows >= 0) & (rows <= 1)).all(axis=None)
    means = rows.mean()
    assert means["corrected_5"] > means["corrected_1"] > means["corrected_0"]
    same = answer_prompts(trained_mini(), scene.rgb, scene.masks[::-1])
    np.testing.assert_allclose(same[::-1], rows, atol=1e-3)


def test_the_table_counts_corrections_that_raise_the_iou() -> None:
    ious = {f"corrected_{number}": [0.5, 0.6] for number in range(N_CORRECTIONS + 1)}
    ious |= {"corrected_1": [0.7, 0.6], "corrected_5": [0.9, 0.9]}
    *_, line = prompts_block({"tiny": pd.DataFrame({"box": [0.5, 0.7], **ious})}).splitlines()
    assert line == "| tiny | 60.0 | 65.0 | 90.0 | 50.0 | 30.0 |"


def test_the_iou_of_two_masks_is_that_of_their_pixels() -> None:
    first, second = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    first[0] = True
    assert iou_of(first, second) == 0.5
