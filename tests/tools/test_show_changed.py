"""Changed images with their true masks, and the table of how heads judge them."""

import numpy as np
import pytest

from pipeline.scenes.scene import draw_scene
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.mini import MODELS
from tools.show_changed import CHANGES, changed_table, judged


def test_true_masks_follow_the_objects_of_a_changed_image() -> None:
    square = np.zeros((1, 64, 64), bool)
    square[0, 24:40, 24:40] = True
    rgb = np.repeat(np.where(square[0], 220, 30)[..., None], 3, axis=2).astype(np.uint8)
    for name, change in CHANGES.items():
        changed, (mask,) = change((rgb, square))
        assert changed.shape == (*mask.shape, 3)
        levels = changed[..., 0].astype(float)
        assert levels[mask].mean() > 1.5 * levels[~mask].mean(), name
        share = {"objects of half size": 1 / 64, "objects of double size": 1 / 4}.get(name, 1 / 16)
        assert mask.mean() == pytest.approx(share)


def test_an_object_that_a_cut_image_hardly_shows_is_left_out() -> None:
    masks = np.zeros((2, 64, 64), bool)
    masks[0, 10:20, 30:40] = masks[1, 12:32, 30:40] = True
    _, cut = CHANGES["objects of double size"]((np.zeros((64, 64, 3), np.uint8), masks))
    assert len(cut) == 1


@pytest.mark.slow
def test_each_change_has_a_row_with_every_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    scenes = [draw_scene(seed, 128) for seed in range(3)]
    found = changed_table({"mini": judged("mini", [(scene.rgb, scene.masks) for scene in scenes])})
    header, _, *lines = found.splitlines()
    assert len(lines) == len(CHANGES)
    assert header.count("|") == 4 + len(MODELS)
