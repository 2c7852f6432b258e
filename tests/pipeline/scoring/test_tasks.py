"""The four tasks: what each corrects, who scores it, and that true gaps score best."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from pipeline.head_sets import HeadSet
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measured import model_measures
from pipeline.scoring.measures import HEAD_MEASURES, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.tasks import (
    BOUNDS,
    corrections,
    correlations,
    curves,
    default_model,
    ious_of,
    judged_proposal,
)
from pipeline.vocabulary import MODELS, PROTOCOLS, TASKS
from tests.fixtures.model_scores import random_scores


@pytest.fixture(scope="module")
def models() -> dict[str, ModelScores]:
    return {model: random_scores(seed) for seed, model in enumerate(MODELS)}


def iou_of(scores: ModelScores, judged: str, *, clicks: str = "center") -> np.ndarray:
    """By the design's words, an object at a time."""
    said = scores.proposals
    iou, sam_score = {
        "center": (said.iou, said.sam_score),
        "refined": (said.refined_iou, said.refined_sam_score),
    }[clicks]
    by = {"best": iou, "selected": sam_score}[judged]
    return np.array([values[np.argmax(by[i])] for i, values in enumerate(iou)])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", MODELS)
def test_each_task_corrects_what_the_design_says(
    models: Mapping[str, ModelScores], model: str, protocol: str
) -> None:
    tasks = corrections(ious_of(models), model, protocol)
    own = iou_of(models[model], protocol)
    expected = {
        "model": (iou_of(models["tiny"], protocol), iou_of(models["large"], protocol)),
        "prompt": (own, iou_of(models[model], protocol, clicks="refined")),
        "task": (iou_of(models[model], "selected"), iou_of(models[model], "best")),
        "segmentation": (own, np.ones(len(own))),
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
    assert set(corrections(ious_of(fewer), "small", "best")) == set(TASKS) - {"model"}
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
    for protocol, task in product(PROTOCOLS, TASKS):
        model, judged = default_model(task, MODELS), judged_proposal(protocol, task)
        names = [
            (curve.train_split, curve.measure)
            for curve in shown
            if (curve.protocol, curve.task, curve.model) == (protocol, task, model)
        ]
        measures = model_measures(models[model], model, protocol=protocol, judged=judged)
        assert names == [*(("", bound) for bound in BOUNDS), *measures]
    assert all(len(curve.corrected_fraction) == len(curve.mean_iou) == 11 for curve in shown)


def test_no_curve_leaves_the_band_between_worst_and_oracle(
    models: dict[str, ModelScores],
) -> None:
    shown = list(curves(models, 41))
    for asked in product(PROTOCOLS, TASKS):
        of_task = {c.measure: c.mean_iou for c in shown if (c.protocol, c.task) == asked}
        for mean_iou in of_task.values():
            assert (of_task["worst"] - 1e-12 <= mean_iou).all()
            assert (mean_iou <= of_task["oracle"] + 1e-12).all()
        np.testing.assert_allclose(np.diff(of_task["random"], n=2), 0, atol=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_correlations_take_scores_as_scores(models: dict[str, ModelScores], protocol: str) -> None:
    scores = models["base_plus"]
    (found,) = (
        c
        for c in correlations(models)
        if (c.protocol, c.train_split, c.model) == (protocol, "coco_train", "base_plus")
    )
    heads = scores.predictions[HeadSet(protocol, protocol)]["coco_train"]
    columns = {
        "iou_gt": iou_of(scores, protocol),
        "sam_score": scores.proposals.judged_sam_score(protocol),
        "usam": heads["iou_base_plus"],
        "delta_a_star": heads["task_gap"],
        "h_theta": scores.entropies[protocol]["h_theta"],
    }
    untrained = [m for m in UNTRAINED_MEASURES if protocol == "best" or m != "sam_score_highest"]
    assert list(found.pearson) == ["iou_gt", *untrained, *HEAD_MEASURES]
    assert list(found.pearson.index) == list(found.pearson)
    expected = np.corrcoef(np.stack(list(columns.values())).astype(np.float64))
    np.testing.assert_allclose(found.pearson.loc[[*columns], [*columns]], expected, atol=1e-9)


def test_correlations_without_heads_are_those_of_the_untrained_measures() -> None:
    best, selected = correlations({"tiny": random_scores(0, train_splits=())})
    assert (best.protocol, best.train_split, best.model) == ("best", "", "tiny")
    assert list(best.pearson) == ["iou_gt", *UNTRAINED_MEASURES]
    assert selected.protocol == "selected"


def test_a_constant_correlates_with_nothing_not_even_itself() -> None:
    scores = random_scores(0, train_splits=())
    constant = np.full(40, 0.1, np.float32)
    entropies = {**scores.entropies, "best": {**scores.entropies["best"], "h_y": constant}}
    found, _ = correlations({"tiny": replace(scores, entropies=entropies)})
    assert found.pearson["h_y"].isna().all()
    others = found.pearson.drop(index="h_y", columns="h_y")
    np.testing.assert_allclose(np.diag(others), 1)
    assert others.notna().all(axis=None)


def test_one_object_correlates_with_nothing() -> None:
    for found in correlations({"tiny": random_scores(0, n_objects=1, train_splits=())}):
        assert found.pearson.isna().all(axis=None)
