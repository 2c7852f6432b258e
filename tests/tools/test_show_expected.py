"""What docs/predict.md says of other prompts than one click is what the predictor says of them."""

from typing import Final

import numpy as np
import pandas as pd
import pytest

from pipeline.predictor import UncertainPredictor, Uncertainty
from pipeline.prompts import central_error, measure_objects
from pipeline.scenes.scene import Scene, draw_scene, scene_seeds
from stages.predictor import load_predictor
from tools.show_expected import PROMPTS, answers, expected_table

SCENE: Final[Scene] = draw_scene(scene_seeds(1, "further", 1)[0], 256)


@pytest.fixture(scope="module")
def predictor() -> UncertainPredictor:
    return load_predictor("mini", "tiny")


@pytest.fixture(scope="module")
def rows(predictor: UncertainPredictor) -> pd.DataFrame:
    return answers(predictor, [SCENE])


def corrected(
    predictor: UncertainPredictor, truth: np.ndarray, *, n_corrections: int, is_mask_given: bool
) -> Uncertainty:
    points = measure_objects([(truth, 0)]).point_px[0, :1].tolist()
    labels = [1]
    said = predictor.predict_uncertainty(points, labels)
    for _ in range(n_corrections):
        x, y = central_error(said.masks[said.selected], truth)
        points, labels = [*points, [x, y]], [*labels, int(truth[y, x])]
        mask = said.logits[said.selected][None] if is_mask_given else None
        said = predictor.predict_uncertainty(points, labels, None, mask)
    return said


def asked(predictor: UncertainPredictor, prompt: str, truth: np.ndarray) -> Uncertainty:
    """What is said of one object after a kind of prompt."""
    x, y = np.nonzero(truth)[::-1]
    if prompt == "box":
        return predictor.predict_uncertainty(box=[x.min(), y.min(), x.max() + 1, y.max() + 1])
    if prompt == "refined":
        points = measure_objects([(truth, 0)]).point_px[0]
        return predictor.predict_uncertainty(points, np.ones(8))
    name, _, number = prompt.partition(" ")
    return corrected(
        predictor, truth, n_corrections=int(number or 0), is_mask_given=name == "given"
    )


@pytest.mark.parametrize("prompt", PROMPTS)
def test_each_prompt_is_asked_of_each_object(
    predictor: UncertainPredictor, rows: pd.DataFrame, prompt: str
) -> None:
    own = rows[rows["prompt"] == prompt]
    assert len(own) == len(SCENE.masks)
    predictor.set_image(SCENE.rgb)
    for truth, (_, row) in zip(SCENE.masks, own.iterrows(), strict=True):
        said = asked(predictor, prompt, truth)
        k = said.selected
        mask = said.masks[k]
        assert row["iou"] == pytest.approx((mask & truth).sum() / (mask | truth).sum(), abs=1e-3)
        assert row["expected"] == pytest.approx(said.expected_iou.own[k], abs=1e-4)
        assert row["sam_score"] == pytest.approx(said.sam_score[k], abs=1e-4)


def test_a_row_has_means_their_difference_over_images_and_correlations() -> None:
    """Two scenes: in the second, the heads expect 0.2 too much, and the SamScore is the IoU."""
    iou = np.array([0.4, 0.6, 0.2, 0.8])
    of_prompt = pd.DataFrame(
        {
            "scene": [0, 0, 1, 1],
            "iou": iou,
            "expected": iou + np.array([0, 0, 0.2, 0.2]),
            "sam_score": iou,
        }
    )
    rows = pd.concat([of_prompt.assign(prompt=name) for name in PROMPTS])
    lines = expected_table({"tiny": rows}).splitlines()[2:]
    correlation = np.corrcoef(iou, of_prompt["expected"])[0, 1]
    expected = f"0.60 | +0.10 (+0.00 to +0.20) | {correlation:.2f}"
    score = "0.50 | +0.00 (+0.00 to +0.00) | 1.00"
    assert lines == [
        f"| tiny | {words} | 0.50 | {expected} | {score} |" for words in PROMPTS.values()
    ]
