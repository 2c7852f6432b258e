"""Advice of the heads of a finished demo, of every protocol and kind, gains on fresh scenes."""

from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from pipeline.heads.scope import BEST_OF_THREE
from pipeline.predictor import PromptSet
from pipeline.predictor.advice import Costs
from pipeline.predictor.uncertain_predictor import Prediction
from pipeline.prompts import measure_objects
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.scoring.bootstrap import interval, resample_groups, resampled_means
from stages.predictor.loading import load_predictor
from tests.fixtures.dvc_stages import ROOT

HEADS: Final = sorted((ROOT / "heads" / "shapes_train").rglob("*/*/*.safetensors"))

COSTS: Final = Costs(click=0.05, larger_model=0.05)
"""Under which every correction is advised now and then."""

SEED, N_SCENES = 9393, 30


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def selected(prediction: Prediction) -> np.ndarray:
    masks, scores, _ = prediction
    mask: np.ndarray = masks[scores.argmax()] > 0
    return mask


@pytest.mark.slow
@pytest.mark.skipif(not HEADS, reason="needs the heads of `make demo`")
@pytest.mark.parametrize("path", HEADS, ids=lambda path: "-".join(path.parts[-3:]))
def test_no_advice_surely_loses(path: Path) -> None:
    small, large = (load_predictor("mini", model, heads=path) for model in ("tiny", "large"))
    gains: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for group, seed in enumerate(scene_seeds(SEED, "val", N_SCENES)):
        scene = draw_scene(seed, 256)
        points = measure_objects((mask, 0) for mask in scene.masks).point_px
        for predictor in (small, large):
            predictor.set_image(scene.rgb)
        prompts = [PromptSet(clicks[:1], [1]) for clicks in points]
        answers = small.predict_uncertainties(prompts, costs=COSTS)
        for clicks, answer, truth in zip(points, answers, scene.masks, strict=True):
            correction = answer.advice.correction
            if correction == "task":
                corrected = answer.best_mask.mask
            elif correction == "model":
                corrected = selected(large.predict(clicks[:1], [1]))
            elif correction == "prompt":
                corrected = selected(small.predict(clicks, np.ones(8, int)))
            else:
                continue
            before = iou(answer.masks[answer.selected], truth)
            gains[correction].append((group, iou(corrected, truth) - before))
        if path.parts[-3] == "best":
            assert BEST_OF_THREE in answers[0].caution
            assert "task" not in {*gains, *answers[0].gap}
            assert all(answer.advice.correction != "keep" for answer in answers)
    for correction, rows in gains.items():
        groups, values = (np.array(column) for column in zip(*rows, strict=True))
        resamples = resample_groups(groups, 1000, seed=0)
        bounds = interval(resampled_means(values[:, None], resamples)[:, 0], len(np.unique(groups)))
        assert not bounds.high < 0, (correction, values.mean(), bounds)
