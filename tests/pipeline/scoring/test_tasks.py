"""The four tasks: what each corrects, who scores it, and that true gaps score best."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from pipeline.scoring.corrections import curves
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import BY_NAME
from pipeline.scoring.tasks import corrections, default_model, ious_of, judged_masks, own_masks
from pipeline.vocabulary import PROTOCOLS, TASKS
from tests.fixtures.mini import MODELS
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


def test_of_a_single_model_there_is_no_model_task(models: Mapping[str, ModelScores]) -> None:
    one = {"small": models["small"]}
    assert set(corrections(ious_of(one), "small", "best")) == set(TASKS) - {"model"}
    shown = curves(ious_of(one), judged_masks(one), 3)
    assert {task for curve in shown for task in curve["task"]} == set(TASKS) - {"model"}


def test_of_some_models_the_smallest_gives_way_to_the_largest(
    models: Mapping[str, ModelScores],
) -> None:
    some = {name: models[name] for name in ("small", "base_plus")}
    found = corrections(ious_of(some), "base_plus", "best")["model"]
    np.testing.assert_array_equal(found.iou, models["small"].proposals.judged_iou("best"))
    np.testing.assert_array_equal(
        found.corrected_iou, models["base_plus"].proposals.judged_iou("best")
    )


def test_measures_that_compare_models_take_two(models: Mapping[str, ModelScores]) -> None:
    (one,) = own_masks(judged_masks({"tiny": replace(models["tiny"], models=("tiny",))}))[:1]
    shown, all_of_four = (
        {name for _, name in masks.measures} for masks in (one, own_masks(judged_masks(models))[0])
    )
    assert all_of_four - shown == {name for name in all_of_four if BY_NAME[name].compares_models}
    assert {"h_theta", "delta_theta_star"} <= all_of_four - shown


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        pytest.param(MODELS, ("tiny", "large"), id="all"),
        pytest.param(("small", "large"), ("small", "large"), id="two"),
        pytest.param(("small",), ("small", "small"), id="one"),
    ],
)
def test_tables_show_the_smallest_model_and_for_segmentation_the_largest(
    models: tuple[str, ...], expected: tuple[str, str]
) -> None:
    smallest, largest = expected
    assert [default_model(task, models) for task in TASKS] == [smallest] * 3 + [largest]
