"""The four tasks: what each corrects, who scores it, and that true gaps score best."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import (
    HEAD_MEASURES,
    TASK_MEASURES,
    UNTRAINED_MEASURES,
    model_measures,
)
from pipeline.scoring.tasks import BOUNDS, corrections, correlations, curves, default_model, ious_of
from pipeline.vocabulary import MODELS, TASKS
from tests.fixtures.model_scores import random_scores


@pytest.fixture(scope="module")
def models() -> dict[str, ModelScores]:
    return {model: random_scores(seed) for seed, model in enumerate(MODELS)}


@pytest.mark.parametrize("model", MODELS)
def test_each_task_corrects_what_the_design_says(
    models: Mapping[str, ModelScores], model: str
) -> None:
    scores = models[model].proposals
    tasks = corrections(ious_of(models), model)
    best = scores.iou.max(axis=1)
    rows = range(len(best))
    selected = [scores.iou[i][np.argmax(scores.sam_score[i])] for i in rows]
    expected = {
        "model": (
            models["tiny"].proposals.iou.max(axis=1),
            models["large"].proposals.iou.max(axis=1),
        ),
        "prompt": (best, scores.refined_iou.max(axis=1)),
        "task": (selected, best),
        "segmentation": (best, np.ones(len(best))),
    }
    assert set(tasks) == set(TASKS)
    for task, (iou, corrected_iou) in expected.items():
        np.testing.assert_array_equal(tasks[task].iou, iou)
        np.testing.assert_array_equal(tasks[task].corrected_iou, corrected_iou)


@pytest.mark.parametrize("absent", ["tiny", "large"])
def test_without_tiny_or_large_there_is_no_model_task(
    models: Mapping[str, ModelScores], absent: str
) -> None:
    fewer = {model: scores for model, scores in models.items() if model != absent}
    assert set(corrections(ious_of(fewer), "small")) == set(TASKS) - {"model"}
    assert {curve.task for curve in curves(fewer, 3)} == set(TASKS) - {"model"}


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        pytest.param(MODELS, ("tiny", "large"), id="all"),
        pytest.param(("large", "small"), ("small", "large"), id="in any order"),
        pytest.param(("small",), ("small", "small"), id="one"),
    ],
)
def test_tables_show_the_smallest_model_and_for_segmentation_the_largest(
    models: tuple[str, ...], expected: tuple[str, str]
) -> None:
    smallest, largest = expected
    assert [default_model(task, models) for task in TASKS] == [smallest] * 3 + [largest]


def test_each_task_lists_measures_that_exist() -> None:
    assert set(TASK_MEASURES) == set(TASKS)
    for names in TASK_MEASURES.values():
        assert set(names) <= {*UNTRAINED_MEASURES, *HEAD_MEASURES}


def test_curves_show_the_bounds_and_every_measure_of_the_default_model(
    models: dict[str, ModelScores],
) -> None:
    shown = list(curves(models, 11))
    for task in TASKS:
        model = default_model(task, MODELS)
        names = [
            (curve.train_split, curve.measure)
            for curve in shown
            if (curve.task, curve.model) == (task, model)
        ]
        assert names == [*(("", bound) for bound in BOUNDS), *model_measures(models[model], model)]
    assert all(len(curve.corrected_fraction) == len(curve.mean_iou) == 11 for curve in shown)


def test_no_curve_leaves_the_band_between_worst_and_oracle(
    models: dict[str, ModelScores],
) -> None:
    shown = list(curves(models, 41))
    for task in TASKS:
        of_task = {curve.measure: curve.mean_iou for curve in shown if curve.task == task}
        for mean_iou in of_task.values():
            assert (of_task["worst"] - 1e-12 <= mean_iou).all()
            assert (mean_iou <= of_task["oracle"] + 1e-12).all()
        np.testing.assert_allclose(np.diff(of_task["random"], n=2), 0, atol=1e-12)


def test_correlations_take_scores_as_scores(models: dict[str, ModelScores]) -> None:
    scores = models["base_plus"]
    (found,) = (
        c for c in correlations(models) if (c.train_split, c.model) == ("coco_train", "base_plus")
    )
    columns = {
        "iou_gt": scores.proposals.best_iou,
        "sam_score": scores.proposals.sam_score.max(axis=1),
        "usam": scores.predictions["coco_train"]["iou_base_plus"],
        "delta_a_star": scores.predictions["coco_train"]["task_gap"],
        "h_theta": scores.entropies["h_theta"],
    }
    assert list(found.pearson) == ["iou_gt", *UNTRAINED_MEASURES, *HEAD_MEASURES]
    assert list(found.pearson.index) == list(found.pearson)
    expected = np.corrcoef(np.stack(list(columns.values())).astype(np.float64))
    np.testing.assert_allclose(found.pearson.loc[[*columns], [*columns]], expected, atol=1e-9)


def test_correlations_without_heads_are_those_of_the_untrained_measures() -> None:
    (found,) = correlations({"tiny": random_scores(0, train_splits=())})
    assert (found.train_split, found.model) == ("", "tiny")
    assert list(found.pearson) == ["iou_gt", *UNTRAINED_MEASURES]


def test_a_constant_correlates_with_nothing_not_even_itself() -> None:
    scores = random_scores(0, train_splits=())
    constant = np.full(40, 0.1, np.float32)
    changed = replace(scores, entropies={**scores.entropies, "h_y": constant})
    (found,) = correlations({"tiny": changed})
    assert found.pearson["h_y"].isna().all()
    others = found.pearson.drop(index="h_y", columns="h_y")
    np.testing.assert_allclose(np.diag(others), 1)
    assert others.notna().all(axis=None)


def test_one_object_correlates_with_nothing() -> None:
    (found,) = correlations({"tiny": random_scores(0, n_objects=1, train_splits=())})
    assert found.pearson.isna().all(axis=None)
