"""Wrong annotations, the rules that find them, and the table that compares the rules."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.scenes.scene import draw_scene
from pipeline.scoring.bootstrap import resample_groups
from tools.answers import iou_of
from tools.show_annotations import (
    ERRORS,
    MOST_IOU,
    OURS,
    RULES,
    Annotations,
    annotated,
    annotations_block,
    mistakenness,
    resampled_auroc,
)


def test_wrong_annotations_are_of_every_kind_and_far_from_the_right_ones() -> None:
    rng = np.random.default_rng(0)
    kinds = []
    for number in range(60):
        scene = draw_scene(number, 96)
        for right, (mask, kind) in zip(scene.masks, annotated(scene.masks, rng), strict=True):
            kinds.append(kind)
            assert (iou_of(mask, right) < MOST_IOU) == bool(kind)
    assert {*kinds} == {"", *ERRORS}
    assert np.mean([kind != "" for kind in kinds]) == pytest.approx(0.13, abs=0.05)


def test_mistakenness_is_the_distance_for_a_sure_model_and_a_half_for_an_unsure_one() -> None:
    iou = np.array([1, 0.75, 0.5, 0.2])
    np.testing.assert_allclose(mistakenness(np.ones(4), iou), [0, 0.5, 1, 1])
    np.testing.assert_allclose(mistakenness(np.zeros(4), iou), 0.5)


def test_the_area_is_that_of_scikit_learn_in_each_draw() -> None:
    rng = np.random.default_rng(0)
    is_wrong, doubt = rng.random(60) < 0.4, rng.integers(0, 9, 60) / 9
    resamples = resample_groups(np.arange(60) // 4, 5, seed=0)
    areas = resampled_auroc(is_wrong, doubt, resamples)
    for area, n_drawn in zip(areas, resamples.n_drawn, strict=True):
        weights = n_drawn[resamples.group]
        assert area == pytest.approx(roc_auc_score(is_wrong, doubt, sample_weight=weights))


def drawn_answers(seed: int) -> Annotations:
    """Answers of two models that reach right annotations alone, and expect so of some objects."""
    rng = np.random.default_rng(seed)
    kind = np.array(["", *ERRORS] * 24)
    is_easy = rng.random(kind.size) < 0.7
    iou = np.where((kind == "") & is_easy, 0.9, 0.3)[:, None] + rng.normal(0, 0.03, (kind.size, 2))
    expected_iou = np.where(is_easy, 0.9, 0.3)[:, None] + rng.normal(0, 0.03, (kind.size, 2))
    sam_score = rng.uniform(0.4, 0.9, iou.shape)
    ious = {"expected_iou": expected_iou, "sam_score": sam_score, "iou": iou}
    return {"kind": kind, "image": np.arange(kind.size) // 4, **ious}


def test_the_rule_that_knows_which_masks_should_be_good_has_the_largest_area() -> None:
    block = annotations_block(drawn_answers(1))
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in block.splitlines()[2:]}
    assert {*RULES} <= {*lines}
    area = {name: float(lines[name].split(" | ")[1].split()[0]) for name in RULES}
    assert area[OURS] > area["1 − IoU"]
    assert f"AUROC of +{area[OURS] - area['1 − IoU']:.2f} (+" in block
