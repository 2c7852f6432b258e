"""Images unlike those that heads learned from: advice and guarantees are withheld."""

from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from pipeline.heads.scope import OUT_OF_DISTRIBUTION
from pipeline.heads.training_images import TrainingImages
from pipeline.predictor import UncertainMaskGenerator, UncertainPredictor
from pipeline.predictor.advice import NONE
from storage.head_files.head_file import read_head_file, shipped_heads
from tests.fixtures.predictors import GATE, drawn, random_heads, trained_mini

CENTRE: Final[dict[str, Any]] = {"point_coords": [[100, 90]], "point_labels": [1]}


@cache
def of_scenes() -> TrainingImages:
    """Training images of the heads that ship."""
    images = read_head_file(shipped_heads()).training_images
    assert images is not None
    return images


def predictor_of(model: str = "tiny") -> UncertainPredictor:
    """A predictor whose heads know scenes, and whose gate keeps every mask."""
    gate = replace(GATE, model=model, threshold=1.0)
    heads = replace(random_heads(model), training_images=of_scenes(), guarantees=(gate,))
    smallest = None if model == "tiny" else trained_mini("tiny")
    return UncertainPredictor(trained_mini(model), heads, smallest=smallest)


def photograph() -> np.ndarray:
    return np.asarray(load_sample_images().images[0])


def changed(rgb: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(rgb * factor, 0, 255).astype(np.uint8)


@pytest.mark.no_cover
@pytest.mark.parametrize("model", ["tiny", "large"])
def test_an_unlike_image_gets_no_advice_and_passes_no_gate(model: str) -> None:
    predictor = predictor_of(model)
    predictor.set_image(photograph())
    found = predictor.predict_uncertainty(**CENTRE)
    assert found.unlike_training is not None
    assert found.unlike_training > OUT_OF_DISTRIBUTION
    own = float(found.expected_iou.own[found.selected])
    advice = {"correction": NONE, "gain": 0, "expected_iou": own, "gains": {}, "holds_for": ""}
    assert vars(found.advice) == advice
    assert found.advice.words == "no advice"
    assert found.is_kept is None
    assert found.caution.startswith("the image is unlike what these heads learned from (further ")
    assert found.to_dict()["unlike_training"] == found.unlike_training


def test_a_scene_is_like_training_also_darker_and_with_a_black_spot() -> None:
    predictor = predictor_of()
    spotted = drawn().copy()
    spotted[60:64, 60:64] = 0
    for rgb in (drawn(), spotted, changed(drawn(), 0.8), changed(drawn(), 1.2)):
        predictor.set_image(rgb)
        found = predictor.predict_uncertainty(**CENTRE)
        assert found.unlike_training is not None
        assert found.unlike_training <= OUT_OF_DISTRIBUTION
        assert found.is_kept is True


def test_another_image_and_other_heads_are_compared_anew() -> None:
    predictor = predictor_of()
    predictor.set_image(drawn())
    share = predictor.predict_uncertainty(**CENTRE).unlike_training
    predictor.set_image(photograph())
    share_of_photograph = predictor.predict_uncertainty(**CENTRE).unlike_training
    assert share is not None
    assert share_of_photograph is not None
    assert share < OUT_OF_DISTRIBUTION < share_of_photograph
    predictor.heads = replace(predictor.heads, training_images=None)
    assert predictor.predict_uncertainty(**CENTRE).unlike_training is None


def test_masks_of_everything_in_an_unlike_image_get_no_advice() -> None:
    generator = UncertainMaskGenerator(
        predictor_of(), points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0
    )
    for rgb, is_unlike in ((photograph(), True), (drawn(), False)):
        records = generator.generate(rgb)
        assert records
        for record in records:
            assert (record["unlike_training"] > OUT_OF_DISTRIBUTION) is is_unlike
            assert (record["advice"]["correction"] == NONE) is is_unlike
            assert record["is_kept"] is None, "a gate of single clicks says nothing of a grid"
            assert (record["caution"] is not None) is is_unlike
