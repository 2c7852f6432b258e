"""Answers about drawn scenes and a COCO data set, and the tables that are made of them."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest

from pipeline.heads.scope import OUT_OF_DISTRIBUTION
from pipeline.iou_errors import IouErrors, measure_errors
from pipeline.predictor.advice import CORRECTIONS
from pipeline.review import remaining, review_order
from pipeline.scenes.placement import CATEGORIES
from pipeline.scenes.scene import draw_scene
from stages.predictor.loading import load_predictor
from storage.coco_writer import write_coco
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.mini import MODELS
from tools import review_tables, show_answers
from tools.advice_tables import BUDGETS
from tools.answers import PROMPTS, answers, coco_images, drawn_images, iou_of
from tools.blocks import marks, read_block
from tools.review_tables import (
    ORDERS,
    REVIEWED,
    SCENES_OF_A_REVIEW,
    SHARES,
    found,
    stop_table,
    stopped,
)
from tools.show_answers import CHOOSABLE, choice_table, unlike_words

BLOCKS: Final = {
    "PREDICT": ("expected", "unlike", "choice", "advice", "regret"),
    "ANNOTATE": ("review", "stops"),
    "RESULTS": ("replication",),
    "README": ("advised",),
}
"""Blocks of each page."""


@pytest.mark.slow
def test_every_block_has_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(show_answers, "N_SCENES", 2)
    monkeypatch.setattr(review_tables, "N_REVIEWS", 2)
    scenes = [draw_scene(seed, 128) for seed in range(2)]
    write_coco(tmp_path / "images", tmp_path / "annotations.json", scenes, CATEGORIES)
    for page, names in BLOCKS.items():
        monkeypatch.setattr(show_answers, page, tmp_path / f"{page}.md")
        text = "\n".join(mark for name in names for mark in marks(name))
        (tmp_path / f"{page}.md").write_text(text, encoding="utf-8")
    show_answers.main([str(tmp_path)], review_scenes=3)
    n_rows = {
        name: read_block(tmp_path / f"{page}.md", name).count("\n| ") - 2
        for page, names in BLOCKS.items()
        for name in names
        if name not in {"advised", "unlike"}
    }
    assert n_rows == {
        "expected": len(PROMPTS),
        "choice": len(CHOOSABLE) * len(MODELS),
        "advice": len(CORRECTIONS),
        "regret": len(BUDGETS),
        "review": 2 * len(REVIEWED) * len(ORDERS),
        "stops": len(REVIEWED) * len(MODELS) * len(SCENES_OF_A_REVIEW),
        "replication": 5 + 3 * 4 * len(MODELS),
    }
    advised = read_block(tmp_path / "README.md", "advised")
    assert " masks that got it in 2 fresh scenes, " in advised
    unlike = read_block(tmp_path / "PREDICT.md", "unlike")
    assert " of 2 fresh scenes, " in unlike
    assert unlike.endswith(" of 2 photographs.")


def test_a_data_set_is_asked_like_the_scenes_that_it_was_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    scenes = [draw_scene(seed, 256) for seed in range(2)]
    write_coco(tmp_path / "images", tmp_path / "annotations.json", scenes, CATEGORIES)
    predictor = load_predictor("mini", "tiny")
    of_files = answers(predictor, coco_images(tmp_path), ("box",))
    of_scenes = answers(predictor, [(s.rgb, s.masks) for s in scenes], ("box",))
    pd.testing.assert_frame_equal(of_files, of_scenes, atol=1e-5)
    assert of_files["image"].nunique() == 2
    assert (of_files["best_iou"] >= of_files["iou"]).all()
    drawn = [rgb for rgb, _ in drawn_images(0, "train", 2)]
    np.testing.assert_array_equal(drawn, [scene.rgb for scene in scenes])


def test_corrections_raise_the_iou_and_a_mask_before_changes_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    scenes = drawn_images(0, "further", 3)
    rows = answers(load_predictor("mini", "tiny"), scenes, ("click", "alone", "given"))
    iou = rows.groupby("prompt")["iou"].mean()
    assert iou["alone"] > iou["click"] + 0.01
    assert iou["given"] > iou["click"] + 0.01
    assert iou["given"] != iou["alone"]


def test_a_gain_is_the_mean_difference_with_an_interval_over_images() -> None:
    iou = np.tile([0.5, 0.5, 0.5, 0.9], 20)
    chosen = iou + np.tile([0.25, 0.0, 0.005, -0.1], 20)
    columns = {"image": np.repeat(np.arange(20), 4), "iou": iou, "chosen_iou": chosen}
    gain = np.tile([0.2, 0.0, 0.02, 0.02], 20)
    rows = pd.DataFrame({**columns, "prompt": "box", "chosen_gain": gain})
    *_, line = choice_table({"base_plus": rows}).splitlines()
    # All images are alike, so that the interval is the mean.
    assert (
        line == "| a box | base plus | 80 | 60.0 | +3.9 (+3.9 to +3.9) | +6.0 | 75% | 25% | 25% |"
    )


def test_an_image_counts_once_among_those_that_are_found_unlike() -> None:
    rows = pd.DataFrame({"image": [0, 0, 0, 1], "unlike_training": [0.98, 0.98, 0.98, 0.5]})
    assert unlike_words({"scenes": rows}).endswith(" 50% of 2 scenes.")


def test_the_iou_of_two_masks_is_that_of_their_pixels() -> None:
    first, second = np.zeros((2, 2), bool), np.ones((2, 2), bool)
    first[0] = True
    assert iou_of(first, second) == 0.5


def test_an_order_that_knows_the_wrong_masks_finds_them_first() -> None:
    iou = np.array([0.9, 0.1, 0.6, 0.3, 0.8, 0.7, 0.95, 0.85, 0.65, 0.75])
    assert SHARES == (0.1, 0.2, 0.5)
    assert found(np.stack([iou, iou], axis=1)) == [0.5, 1, 1]
    assert found(np.stack([iou, -iou], axis=1)) == [0, 0, 0]
    assert found(np.stack([np.ones(4), np.ones(4)], axis=1)) == [0, 0, 0]


def test_a_review_stops_where_the_rule_of_the_page_says_so() -> None:
    rng = np.random.default_rng(0)
    expected, unlike = rng.beta(4, 1.5, 300), rng.uniform(0, 1.02, 300)
    order = review_order(expected, unlike)
    expected, unlike = expected[order], unlike[order]
    iou = rng.beta(8 * expected, 8 * (1 - expected))
    errors = measure_errors("tiny", "box", expected, iou, np.arange(300))
    share, by_oracle, left_iou = stopped(expected, unlike, iou, errors, 0.8)
    n_first = next(
        n
        for n in range((unlike > OUT_OF_DISTRIBUTION).sum(), 300)
        if remaining(expected, unlike, np.arange(300) < n, errors).may_stop(0.8)
    )
    assert share == n_first / 300
    assert left_iou == pytest.approx(iou[n_first:].mean())
    assert 0.1 < by_oracle < share < 0.9
    looked_at, _, left = stopped(expected, unlike, iou, None, 0.8)
    assert looked_at == 1
    assert np.isnan(left)


def test_reviews_draw_whole_scenes_and_repeat_them_only_if_there_are_too_few() -> None:
    masks = pd.DataFrame(
        {
            "image": np.repeat(np.arange(60), 2),
            "prompt": "box",
            "expected_iou": np.tile([0.5, 0.9], 60),
            "unlike_training": 0.5,
            "iou": np.tile([0.5, 0.9], 60),
        }
    )
    masks = pd.concat([masks.assign(prompt="click"), masks])
    exact = IouErrors("tiny", "box", (0.0,), (500,), (0.0,), (0.0,), 1.0, 80)
    *_, few, more, most = stop_table({"tiny": masks}, {("tiny", "box"): exact}, 0.79).splitlines()
    assert few == "| a box | tiny | 30 | 100% | 32% | 32% | 1.00 | 100.0% |"  # 19 of 60
    assert more == "| a box | tiny | 300 | 100% | 31% | 31% | 1.00 | 100.0% |"  # 187 of 600
    assert most.startswith("| a box | tiny | 3,000 |")
