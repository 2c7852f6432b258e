"""The table of gains by the choice of masks: rows of scenes, of images, and their means."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.heads.objectives import TrainingSet
from pipeline.scenes.placement import CATEGORIES
from pipeline.scenes.scene import draw_scene, scene_seeds
from stages.settings.params import read_params
from storage.coco_writer import write_coco
from tests.fixtures.dvc_stages import ROOT
from tools import show_choice
from tools.blocks import read_block
from tools.show_expected import PROMPTS


def test_fresh_scenes_give_a_row_for_each_prompt_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- choice -->\n<!-- /choice -->\n", encoding="utf-8")
    for name, few in {"PAGE": page, "N_SCENES": 2, "MODELS": ("tiny",), "N_RESAMPLES": 50}.items():
        monkeypatch.setattr(show_choice, name, few)
    monkeypatch.chdir(ROOT)
    show_choice.main(None, seed=11)
    side = read_params().shapes.image_size_px
    scenes = [draw_scene(seed, side) for seed in scene_seeds(11, "further", 2)]
    n_objects = sum(len(scene.masks) for scene in scenes)
    lines = [line.strip("| ").split(" | ") for line in read_block(page, "choice").splitlines()]
    rows = [line for line in lines if line[1:2] == ["tiny"]]
    assert [row[:3] for row in rows] == [
        [PROMPTS[prompt], "tiny", str(n_objects)] for prompt in ("click", "box", "refined", "alone")
    ]
    assert all(0 < float(row[3]) < 100 for row in rows)


def test_masks_of_a_photograph_are_chosen_by_heads_that_did_not_learn_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = [draw_scene(seed, 128) for seed in range(7)]
    write_coco(tmp_path / "images", tmp_path / "annotations.json", scenes, CATEGORIES)
    learned: list[set[int]] = []
    training_set = show_choice._training_set

    def noted(features: dict[str, show_choice.Arrays], objects: np.ndarray) -> TrainingSet:
        learned.append({*features["tiny"]["group"][objects].tolist()})
        return training_set(features, objects)

    monkeypatch.setattr(show_choice, "_training_set", noted)
    monkeypatch.setattr(show_choice, "N_FOLDS", 2)
    monkeypatch.setattr(show_choice, "MODELS", ("tiny",))
    rows = pd.DataFrame(show_choice.photograph_rows(tmp_path))
    areas = [[int(mask.sum()) for mask in scene.masks] for scene in scenes]
    n_objects = [sum(area >= show_choice.LEAST_AREA_PX for area in of_scene) for of_scene in areas]
    counts = rows.groupby(["prompt", "group"]).size().unstack()
    assert counts.to_numpy().tolist() == [n_objects] * len(show_choice.PHOTOGRAPH_PROMPTS)
    is_click = (rows["prompt"] == PROMPTS["click"]).to_numpy()
    fold = np.cumsum(np.diff(is_click.astype(int), prepend=0) > 0)  # of each, clicks come first
    shown = [{*rows["group"].to_numpy()[fold == number].tolist()} for number in (1, 2)]
    for validated, final, judged in zip(learned[::2], learned[1::2], shown, strict=True):
        assert not final & judged
        assert validated < final
    ious = rows[["iou", "chosen_iou"]].to_numpy(np.float64)
    assert ((ious >= 0) & (ious <= 1)).all()


def test_a_gain_is_the_mean_difference_with_an_interval_over_images() -> None:
    group = np.repeat(np.arange(20), 4)
    iou = np.tile([0.5, 0.5, 0.5, 0.9], 20)
    chosen = iou + np.tile([0.25, 0.0, 0.005, -0.1], 20)
    keys = {"prompt": "a box", "model": "base_plus"}
    rows = pd.DataFrame(
        {**keys, "group": group, "iou": iou, "chosen_iou": chosen, "expected": chosen + 0.02}
    )
    *_, line = show_choice.choice_table(rows).splitlines()
    # All images are alike, so that the interval is the mean.
    assert line == ("| a box | base plus | 80 | 60.0 | +3.9 (+3.9 to +3.9) | 25% | 25% | +0.020 |")
