"""Clicks, boxes and corrections of the embedded models, and the table of them."""

import re
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.sam.building import build
from pipeline.scenes.scene import draw_scene
from stages.settings.params import read_params
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.predictors import trained_mini
from tools import show_family
from tools.answers import PER_PHOTOGRAPH
from tools.blocks import read_block
from tools.show_family import N_CORRECTIONS, N_SCENES, answer_prompts, scores_block

SCENE: Final = draw_scene(11, 256)


def test_corrections_start_from_the_selected_mask_of_a_click_and_raise_the_iou() -> None:
    rows = answer_prompts(trained_mini(), SCENE.rgb, SCENE.masks)
    corrected = [f"corrected_{number}" for number in range(1, N_CORRECTIONS + 1)]
    assert [*rows] == ["sam_score", "selected", "best", "refined", "box", *corrected]
    assert len(rows) == len(SCENE.masks)
    ious = rows.drop(columns="sam_score")
    assert ((ious >= 0) & (ious <= 1)).all(axis=None)
    assert (rows["best"] >= rows["selected"]).all()
    means = rows.mean()
    assert means["corrected_5"] > means["corrected_1"] > means["selected"]
    assert not np.allclose(rows["refined"], rows["selected"])
    same = answer_prompts(trained_mini(), SCENE.rgb, SCENE.masks[::-1])
    np.testing.assert_allclose(same[::-1], rows, atol=1e-3)


def test_the_table_has_intervals_over_images_and_counts_corrections_that_raise_the_iou() -> None:
    rows = {"sam_score": [0.1, 0.2, 0.3, 0.4], "selected": [0.5, 0.6, 0.5, 0.6]}
    rows |= {name: [0.7, 0.7, 0.7, 0.7] for name in ("best", "refined", "box")}
    rows |= {f"corrected_{number}": rows["selected"] for number in range(1, N_CORRECTIONS + 1)}
    rows |= {"corrected_1": [0.7, 0.6, 0.7, 0.6], "corrected_5": [0.9, 0.9, 0.9, 0.9]}
    block = scores_block({"tiny": pd.DataFrame(rows).assign(image=[0, 0, 1, 2])})
    assert block.startswith("4 objects in 3 images:")
    cells = block.splitlines()[-1].strip("| ").split(" | ")
    assert cells[0] == "tiny"
    assert cells[1].startswith("55.0 (5")
    assert cells[2:5] == ["70.0 (70.0 to 70.0)"] * 3
    assert cells[-3:] == ["0.45", "50", "30"]


def test_a_state_is_scored_on_drawn_scenes_and_cards_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build("mini", "tiny", seed=0)
    state = {"training": {"models": {"tiny": model.state_dict()}}}
    torch.save(state, tmp_path / "state.pt")
    monkeypatch.setattr(show_family, "models_of", lambda _: ("tiny",))
    monkeypatch.setattr(show_family, "drawn_images", lambda *_: [(SCENE.rgb, SCENE.masks)] * 3)
    show_family.main(["mini", str(tmp_path / "state.pt")])
    assert capsys.readouterr().out.startswith(f"{3 * len(SCENE.masks)} objects in 3 images")


def test_the_cards_are_of_the_images_that_the_results_are_of() -> None:
    of_photographs, of_drawn = (
        read_params(ROOT / "params" / f"{name}.yaml") for name in ("photographs", "results")
    )
    assert of_photographs.splits["bsds_test"].max_objects_per_image == PER_PHOTOGRAPH
    assert of_drawn.shapes.n_val_images == N_SCENES


def test_readme_s_sentence_on_photographs_has_the_numbers_of_the_card() -> None:
    card = read_block(ROOT / "docs" / "mini_photos.md", "bsds500").splitlines()
    n_objects, n_images = re.findall(r"\d+", card[0])
    rows = [line.strip("| ").split(" | ") for line in card[4:]]
    (tiny, large), best = (
        [f"{float(row[column].split()[0]):.0f}" for row in (rows[0], rows[-1])] for column in (1, 2)
    )
    sentence = read_block(ROOT / "README.md", "photographs")
    assert f"Of {n_objects} segments that people outlined in {n_images} photographs" in sentence
    assert f"a mean IoU of {tiny} % (tiny) to {large} % (large)" in sentence
    assert f"the best of the three proposals {' to '.join(best)} %." in sentence
