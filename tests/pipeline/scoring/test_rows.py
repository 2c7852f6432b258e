"""How well measures foresee corrections, with intervals over images."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from pipeline.auc import correction_auc
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import HEAD_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.rows import AucRow, auc_rows, iou_rows, n_measures
from pipeline.vocabulary import MODELS, TASKS
from tests.fixtures.model_scores import TRAIN_SPLITS, random_scores

RESAMPLES = resample_groups(np.arange(40) // 3, 50, seed=0)


@pytest.fixture(scope="module")
def models() -> dict[str, ModelScores]:
    return {model: random_scores(seed) for seed, model in enumerate(MODELS)}


def test_every_task_scores_every_measure_of_every_model(models: dict[str, ModelScores]) -> None:
    rows = auc_rows(models, RESAMPLES)
    names = [("", name) for name in UNTRAINED_MEASURES]
    names += [(split, name) for split in TRAIN_SPLITS for name in HEAD_MEASURES]
    assert [(row.task, row.model, row.train_split, row.measure) for row in rows] == [
        (task, model, *name) for task in TASKS for model in MODELS for name in names
    ]


def test_a_row_is_the_auc_of_its_measure(models: dict[str, ModelScores]) -> None:
    (row,) = (
        row
        for row in auc_rows(models, RESAMPLES)
        if (row.train_split, row.task, row.model, row.measure)
        == ("davis_train", "model", "small", "delta_theta")
    )
    heads = models["small"].predictions["davis_train"]
    expected = correction_auc(
        models["tiny"].proposals.best_iou,
        models["large"].proposals.best_iou,
        heads["iou_large"].astype(np.float64) - heads["iou_tiny"],
    )
    assert row.area == expected


def test_measures_that_know_the_truth_reach_the_oracle() -> None:
    base = {model: random_scores(seed, train_splits=()) for seed, model in enumerate(MODELS)}
    models = {}
    for model, scores in base.items():
        heads = {f"iou_{other}": base[other].proposals.best_iou for other in MODELS}
        heads["iou_refined"] = scores.proposals.best_refined_iou
        heads["iou_selected"] = scores.proposals.selected_iou
        model_gap = base["large"].proposals.best_iou - base["tiny"].proposals.best_iou
        # Halved, so that no gap is clipped: only the order counts.
        heads["model_gap"] = np.float32(0.5) + model_gap / 2
        heads["prompt_gap"] = (
            0.5 + (scores.proposals.best_refined_iou - scores.proposals.best_iou) / 2
        )
        heads["task_gap"] = 0.5 + (scores.proposals.best_iou - scores.proposals.selected_iou) / 2
        models[model] = replace(scores, predictions={"truth": heads})
    told_by = {
        "model": {"delta_theta", "delta_theta_star"},
        "prompt": {"delta_xp", "delta_xp_star"},
        "task": {"delta_a", "delta_a_star"},
        "segmentation": {"usam"},
    }
    for row in auc_rows(models, RESAMPLES):
        if row.measure in told_by[row.task]:
            assert row.area.relative == pytest.approx(1, abs=1e-5), row


def test_without_tiny_there_is_no_model_task(models: dict[str, ModelScores]) -> None:
    fewer = {model: scores for model, scores in models.items() if model != "tiny"}
    assert {row.task for row in auc_rows(fewer, RESAMPLES)} == set(TASKS) - {"model"}


def test_margins_are_differences_to_sam_score(models: dict[str, ModelScores]) -> None:
    rows = auc_rows(models, RESAMPLES)
    of_task = [row for row in rows if (row.task, row.model) == ("task", "small")]
    relative = {(row.train_split, row.measure): row.area.relative for row in of_task}
    for row in of_task:
        expected = relative[row.train_split, row.measure] - relative["", "sam_score"]
        assert row.margin == pytest.approx(expected)
    (own,) = (row for row in of_task if row.measure == "sam_score")
    assert own.margin == own.margin_interval.low == own.margin_interval.high == 0


def test_token_sets_are_compared_with_the_method_on_the_same_images() -> None:
    scores = random_scores(0, n_objects=400, train_splits=("coco_train",))
    near = {
        name: value + np.float32(1e-2) * scores.entropies["h_y"]
        for name, value in scores.predictions["coco_train"].items()
    }
    both = replace(scores, other_predictions={"selected": {"coco_train": near}})
    rows = [
        row
        for row in auc_rows({"tiny": both}, resample_groups(np.arange(400), 200, seed=0))
        if row.task == "task"
    ]
    found = {(row.tokens, row.measure): row for row in rows}
    best, selected = found["best", "delta_a_star"], found["selected", "delta_a_star"]
    interval = selected.tokens_margin_interval
    assert selected.tokens_margin == selected.area.relative - best.area.relative != 0
    assert interval.low <= selected.tokens_margin <= interval.high
    assert interval.high - interval.low < (selected.relative.high - selected.relative.low) / 5
    assert best.tokens_margin == best.tokens_margin_interval.low == 0
    assert np.isnan(found["", "h_a"].tokens_margin)
    assert np.isnan(found["", "h_a"].tokens_margin_interval.high)


def test_a_margin_is_surer_than_two_measures_that_rise_and_fall_together() -> None:
    scores = random_scores(0, n_objects=400, train_splits=())
    near = 1 - scores.proposals.sam_score.max(axis=1) + np.float32(1e-3) * scores.entropies["h_y"]
    scores = replace(scores, entropies={**scores.entropies, "h_std": near})
    resamples = resample_groups(np.arange(400), 200, seed=0)
    (row,) = (
        row
        for row in auc_rows({"tiny": scores}, resamples)
        if (row.task, row.measure) == ("segmentation", "h_std")
    )
    width = row.relative.high - row.relative.low
    assert row.margin_interval.high - row.margin_interval.low < width / 10


def test_intervals_hold_what_the_sample_gives(models: dict[str, ModelScores]) -> None:
    done: list[int] = []
    rows = auc_rows(models, resample_groups(np.arange(40), 400, seed=1), done.append)
    assert (
        sum(done)
        == n_measures(models)
        == len({(row.model, row.train_split, row.measure) for row in rows})
    )
    inside = [
        row.auc.low < row.area.auc < row.auc.high
        and row.relative.low < row.area.relative < row.relative.high
        for row in rows
    ]
    assert np.mean(inside) == 1


def test_a_correction_that_gains_nothing_has_no_relative_interval() -> None:
    scores = random_scores(0, train_splits=())
    flawless = np.ones_like(scores.proposals.iou)
    perfect = replace(scores, proposals=replace(scores.proposals, iou=flawless))
    for row in segmentation(auc_rows({"large": perfect}, RESAMPLES)):
        assert np.isnan([row.area.relative, row.relative.low, row.margin]).all()
        assert row.auc.low == row.auc.high == 1


def test_a_measure_that_is_nan_is_named() -> None:
    scores = random_scores(0)
    faulty = scores.predictions["coco_train"]["task_gap"]
    faulty[3] = np.nan
    message = r"delta_a_star of tiny by heads of coco_train on best tokens must .* got 1 of 40 obj"
    with pytest.raises(ValueError, match=message):
        auc_rows({"tiny": scores}, RESAMPLES)
    entropies = {**scores.entropies, "h_a": scores.entropies["h_a"] * np.nan}
    with pytest.raises(ValueError, match="h_a of tiny must be free of NaN, got 40 of 40 objects"):
        auc_rows({"tiny": replace(scores, entropies=entropies)}, RESAMPLES)


def test_mean_ious_are_compared_with_one_click_in_the_first_view() -> None:
    first, second = random_scores(0).proposals, random_scores(1).proposals
    views = {("tiny", "identity"): first, ("tiny", "gray"): second, ("large", "gray"): first}
    rows = {(row.model, row.view, row.proposal): row for row in iou_rows(views, RESAMPLES)}
    start = rows["tiny", "identity", "best"]
    assert start.mean_iou == pytest.approx(first.best_iou.mean())
    assert start.interval.low < start.mean_iou < start.interval.high
    assert (start.gain, start.gain_interval.low, start.gain_interval.high) == (0, 0, 0)
    refined = rows["tiny", "gray", "refined"]
    assert refined.gain == pytest.approx(second.best_refined_iou.mean() - start.mean_iou)
    assert rows["tiny", "identity", "selected"].gain < 0
    assert rows["large", "gray", "best"].gain == 0


def segmentation(rows: list[AucRow]) -> Iterator[AucRow]:
    """Rows of the segmentation task."""
    return (row for row in rows if row.task == "segmentation")
