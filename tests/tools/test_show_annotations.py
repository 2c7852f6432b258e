"""Wrong annotations, the rules that find them, and the table that compares the rules."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.scenes.scene import draw_scene
from pipeline.scoring.bootstrap import resample_groups
from tools import show_annotations
from tools.answers import iou_of
from tools.show_annotations import (
    BOX_ALONE,
    ERRORS,
    MOST_IOU,
    OURS,
    RULES,
    Annotations,
    annotated,
    mistakenness,
    resampled_auroc,
    rules_table,
    spoiled,
    words,
)


def test_every_object_is_annotated_right_and_with_every_error_that_is_far_from_it() -> None:
    rng = np.random.default_rng(0)
    kinds, rights = [], 0
    for number in range(30):
        masks = draw_scene(number, 96).masks
        right = None
        for mask, kind in annotated(masks, rng):
            kinds.append(kind)
            if not kind:
                right, rights = mask, rights + 1
            assert right is not None
            assert (iou_of(mask, right) < MOST_IOU) == bool(kind)
    assert kinds.count("") == rights
    assert {*kinds} == {"", *ERRORS}
    assert all(kinds.count(kind) > rights / 2 for kind in ERRORS if kind != "merged")


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
    """Answers of two models: clicks find whole objects, of which boxes of wrong ones show parts."""
    rng = np.random.default_rng(seed)
    kind = np.array(["", *ERRORS] * 24)
    is_right = kind == ""
    is_easy = rng.random(kind.size) < 0.7

    def noisy(values: np.ndarray) -> np.ndarray:
        return values[:, None] + rng.normal(0, 0.03, (kind.size, 2))

    return {
        "kind": kind,
        "image": np.arange(kind.size) // 4,
        "expected_iou": noisy(np.where(is_easy, 0.9, 0.3)),
        "sam_score": rng.uniform(0.4, 0.9, (kind.size, 2)),
        "iou": noisy(np.where(is_right & is_easy, 0.7, 0.5)),
        "expected": noisy(np.where(is_easy, 0.9, 0.4)),
        "highest_iou": noisy(np.where(is_right, 0.9, 0.5)),
    }


def test_the_rule_that_sees_the_clicks_has_the_largest_area_and_the_words_say_its_gain() -> None:
    shown = drawn_answers(1)
    lines = {
        line.split(" | ")[0].removeprefix("| "): line for line in rules_table(shown).splitlines()
    }
    area = {name: float(lines[name].split(" | ")[1].split()[0]) for name in RULES}
    assert area[OURS] == max(area.values())
    assert area[OURS] > area[BOX_ALONE]
    text = words(shown, "drawn scenes")
    assert "In 36 drawn scenes, 24 annotations" in text
    assert all(f"{kind} +0." in text for kind in ERRORS)


def test_a_model_is_asked_by_the_box_and_the_clicks_of_right_and_wrong_annotations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(show_annotations, "models_of", lambda _: ("tiny",))
    monkeypatch.setattr(show_annotations, "N_OBJECTS", 2)
    scene = draw_scene(3, 96)
    shown = spoiled([(scene.rgb, scene.masks)], 0, "mini")
    assert (shown["kind"] == "").sum() == 2
    assert all(of.shape == (len(shown["kind"]), 1) for name, of in shown.items() if "iou" in name)
    assert (shown["highest_iou"] >= shown["iou"]).all()
    assert (shown["expected"] >= shown["expected_iou"]).all()
