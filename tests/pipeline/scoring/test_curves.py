"""Curves between their bounds, and correlations as numpy computes them."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from pipeline.heads.kinds import HeadSet
from pipeline.scoring.curves import BOUNDS, correlations, curves
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measured import JudgedMasks, judged_masks, model_measures, own_masks
from pipeline.scoring.measures import HEAD_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.tasks import default_model, ious_of, judged_proposal
from pipeline.vocabulary import MODELS, PROTOCOLS, TASKS
from tests.fixtures.model_scores import random_scores


@pytest.fixture(scope="module")
def models() -> dict[str, ModelScores]:
    return {model: random_scores(seed) for seed, model in enumerate(MODELS)}


def masks_of(models: Mapping[str, ModelScores]) -> list[JudgedMasks]:
    return own_masks(judged_masks(models))


def test_curves_show_the_bounds_and_every_measure_of_the_default_model(
    models: dict[str, ModelScores],
) -> None:
    shown = list(curves(ious_of(models), judged_masks(models), 11))
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
    shown = list(curves(ious_of(models), judged_masks(models), 41))
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
        for c in correlations(masks_of(models))
        if (c.protocol, c.train_split, c.model) == (protocol, "coco_train", "base_plus")
    )
    heads = scores.predictions[HeadSet(protocol, protocol)]["coco_train"]
    columns = {
        "iou_gt": scores.proposals.judged_iou(protocol),
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
    best, selected = correlations(masks_of({"tiny": random_scores(0, train_splits=())}))
    assert (best.protocol, best.train_split, best.model) == ("best", "", "tiny")
    assert list(best.pearson) == ["iou_gt", *UNTRAINED_MEASURES]
    assert selected.protocol == "selected"


def test_a_constant_correlates_with_nothing_not_even_itself() -> None:
    scores = random_scores(0, train_splits=())
    constant = np.full(40, 0.1, np.float32)
    entropies = {**scores.entropies, "best": {**scores.entropies["best"], "h_y": constant}}
    found, _ = correlations(masks_of({"tiny": replace(scores, entropies=entropies)}))
    assert found.pearson["h_y"].isna().all()
    others = found.pearson.drop(index="h_y", columns="h_y")
    np.testing.assert_allclose(np.diag(others), 1)
    assert others.notna().all(axis=None)


def test_one_object_correlates_with_nothing() -> None:
    scores = random_scores(0, n_objects=1, train_splits=())
    for found in correlations(masks_of({"tiny": scores})):
        assert found.pearson.isna().all(axis=None)
