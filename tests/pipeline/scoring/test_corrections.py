"""AUC, curves, mean IoUs and correlations of split results: their rows, against other libraries."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from pipeline.heads.kinds import HeadSet, head_sets
from pipeline.result_rows import AucRow
from pipeline.scoring.auc import CorrectionAuc, correction_auc
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.corrections import (
    BOUNDS,
    auc_rows,
    correlations,
    curves,
    iou_rows,
)
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import HEAD_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.tasks import (
    JudgedMasks,
    default_model,
    ious_of,
    judged_masks,
    judged_proposal,
    own_masks,
)
from pipeline.vocabulary import PROTOCOLS, TASKS
from tests.fixtures.mini import MODELS
from tests.fixtures.model_scores import TRAIN_SPLITS, random_scores

ABOUT = ["protocol", "train_split", "model"]
RESAMPLES = resample_groups(np.arange(40) // 3, 50, seed=0)
SOME_MODELS = ("tiny", "small", "large")


@pytest.fixture(scope="module")
def models() -> dict[str, ModelScores]:
    return {model: random_scores(seed) for seed, model in enumerate(SOME_MODELS)}


@pytest.fixture(scope="module")
def rows(models: dict[str, ModelScores]) -> list[AucRow]:
    return auc_rows(models, RESAMPLES)


def test_every_task_scores_every_measure_of_every_model(rows: list[AucRow]) -> None:
    asked = [(row.protocol, row.task, row.model, row.train_split, row.measure) for row in rows]
    assert asked == [
        (protocol, task, model, *name)
        for protocol, task in product(PROTOCOLS, TASKS)
        for model in SOME_MODELS
        for name in names_of(judged_proposal(protocol, task))
    ]


def names_of(judged: str) -> list[tuple[str, str]]:
    """Train split and name of all measures that are shown for a judged proposal."""
    untrained = [m for m in UNTRAINED_MEASURES if judged == "best" or m != "sam_score_highest"]
    trained = [(split, name) for split in TRAIN_SPLITS for name in HEAD_MEASURES]
    return [*(("", name) for name in untrained), *trained]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_row_is_the_auc_of_its_measure(
    models: dict[str, ModelScores], rows: list[AucRow], protocol: str
) -> None:
    (row,) = (
        row
        for row in rows
        if (row.protocol, row.train_split, row.task, row.model, row.measure)
        == (protocol, "davis_train", "model", "small", "delta_theta")
    )
    heads = models["small"].predictions[HeadSet(protocol, protocol)]["davis_train"]
    expected = correction_auc(
        models["tiny"].proposals.judged_iou(protocol),
        models["large"].proposals.judged_iou(protocol),
        heads["iou_large"].astype(np.float64) - heads["iou_tiny"],
    )
    assert CorrectionAuc(row.auc, row.oracle, row.worst, row.relative) == expected


def test_measures_that_know_the_truth_reach_the_oracle() -> None:
    base = {model: random_scores(seed, train_splits=()) for seed, model in enumerate(MODELS)}
    models = {}
    for model, scores in base.items():
        predictions = {one: {"truth": true_heads(base, model, one.protocol)} for one in head_sets()}
        models[model] = replace(scores, predictions=predictions)
    told_by = {
        "model": {"delta_theta", "delta_theta_star"},
        "prompt": {"delta_xp", "delta_xp_star"},
        "task": {"delta_a", "delta_a_star"},
        "segmentation": {"usam"},
    }
    for row in auc_rows(models, RESAMPLES):
        if row.measure in told_by[row.task]:
            assert row.relative == pytest.approx(1, abs=1e-5), row


def true_heads(models: dict[str, ModelScores], model: str, protocol: str) -> dict[str, np.ndarray]:
    """What heads would predict that know the truth."""
    said = models[model].proposals
    own = {name: scores.proposals.judged_iou(protocol) for name, scores in models.items()}
    # Halved, so that no gap is clipped: only the order counts.
    return {
        **{f"iou_{name}": iou for name, iou in own.items()},
        "iou_refined": said.judged_refined_iou(protocol),
        "iou_best": said.judged_iou("best"),
        "iou_selected": said.judged_iou("selected"),
        "model_gap": np.float32(0.5) + (own["large"] - own["tiny"]) / 2,
        "prompt_gap": 0.5 + (said.judged_refined_iou(protocol) - own[model]) / 2,
        "task_gap": 0.5 + (said.judged_iou("best") - said.judged_iou("selected")) / 2,
    }


def test_margins_are_differences_to_sam_score(rows: list[AucRow]) -> None:
    of_task = [
        row for row in rows if (row.protocol, row.task, row.model) == ("best", "task", "small")
    ]
    relative = {(row.train_split, row.measure): row.relative for row in of_task}
    for row in of_task:
        expected = relative[row.train_split, row.measure] - relative["", "sam_score"]
        assert row.margin == pytest.approx(expected)
    (own,) = (row for row in of_task if row.measure == "sam_score")
    assert own.margin == own.margin_interval.low == own.margin_interval.high == 0


def test_ablated_tokens_are_compared_with_the_method_on_the_same_images() -> None:
    scores = random_scores(0, n_objects=400, train_splits=("coco_train",))
    own = HeadSet("best", "best")
    near = {
        name: value + np.float32(1e-2) * scores.entropies["best"]["h_y"]
        for name, value in scores.predictions[own]["coco_train"].items()
    }
    ablated = {HeadSet("best", "best_no_iou"): {"coco_train": near}}
    both = replace(scores, predictions={**scores.predictions, **ablated})
    rows = [
        row
        for row in auc_rows({"tiny": both}, resample_groups(np.arange(400), 200, seed=0))
        if (row.protocol, row.task) == ("best", "prompt")
    ]
    found = {(row.tokens, row.measure): row for row in rows}
    best, without = found["best", "delta_xp_star"], found["best_no_iou", "delta_xp_star"]
    interval = without.tokens_margin_interval
    assert without.tokens_margin == without.relative - best.relative != 0
    assert interval.low <= without.tokens_margin <= interval.high
    assert (
        interval.high - interval.low
        < (without.relative_interval.high - without.relative_interval.low) / 5
    )
    assert best.tokens_margin == best.tokens_margin_interval.low == 0
    assert np.isnan(found["", "h_a"].tokens_margin)
    assert np.isnan(found["", "h_a"].tokens_margin_interval.high)


def test_intervals_hold_what_the_sample_gives(models: dict[str, ModelScores]) -> None:
    two = {model: models[model] for model in ("tiny", "large")}
    rows = auc_rows(two, resample_groups(np.arange(40), 400, seed=1))
    inside = [
        row.auc_interval.low < row.auc < row.auc_interval.high
        and row.relative_interval.low < row.relative < row.relative_interval.high
        for row in rows
    ]
    assert np.mean(inside) == 1


def test_a_correction_that_gains_nothing_has_no_relative_interval() -> None:
    scores = random_scores(0, train_splits=())
    flawless = np.ones_like(scores.proposals.iou)
    perfect = replace(scores, proposals=replace(scores.proposals, iou=flawless))
    for row in segmentation(auc_rows({"large": perfect}, RESAMPLES)):
        assert np.isnan([row.relative, row.relative_interval.low, row.margin]).all()
        assert row.auc_interval.low == row.auc_interval.high == 1


def test_a_measure_that_is_nan_is_named() -> None:
    scores = random_scores(0)
    faulty = scores.predictions[HeadSet("selected", "selected")]["coco_train"]["task_gap"]
    faulty[3] = np.nan
    message = "delta_a_star of tiny by heads of coco_train on selected tokens must .* for 1 of 40"
    with pytest.raises(ValueError, match=message):
        auc_rows({"tiny": scores}, RESAMPLES)
    of_best = scores.entropies["best"]
    entropies = {**scores.entropies, "best": {**of_best, "h_a": of_best["h_a"] * np.nan}}
    with pytest.raises(ValueError, match="h_a of tiny must not be NaN, got NaN for 40 of 40"):
        auc_rows({"tiny": replace(scores, entropies=entropies)}, RESAMPLES)


def test_mean_ious_are_compared_with_one_click_in_the_first_view() -> None:
    first, second = random_scores(0).proposals, random_scores(1).proposals
    views = {("tiny", "identity"): first, ("tiny", "gray"): second, ("large", "gray"): first}
    rows = {(row.model, row.view, row.proposal): row for row in iou_rows(views, RESAMPLES)}
    start = rows["tiny", "identity", "best"]
    assert start.mean_iou == pytest.approx(first.judged_iou("best").mean())
    assert start.mean_iou_interval.low < start.mean_iou < start.mean_iou_interval.high
    assert (start.gain, start.gain_interval.low, start.gain_interval.high) == (0, 0, 0)
    refined = rows["tiny", "gray", "refined"]
    assert refined.gain == pytest.approx(second.judged_refined_iou("best").mean() - start.mean_iou)
    assert rows["large", "gray", "best"].gain == 0
    # Those of selected masks with the selected one.
    begin, chosen = rows["tiny", "identity", "selected"], rows["tiny", "gray", "selected"]
    assert (begin.gain, begin.gain_interval.low, begin.gain_interval.high) == (0, 0, 0)
    assert begin.mean_iou < start.mean_iou
    assert chosen.gain == pytest.approx(chosen.mean_iou - begin.mean_iou)
    assert chosen.gain_interval.low < chosen.gain < chosen.gain_interval.high
    of_eight = rows["tiny", "gray", "refined_selected"]
    assert of_eight.gain == pytest.approx(of_eight.mean_iou - begin.mean_iou)


def segmentation(rows: list[AucRow]) -> Iterator[AucRow]:
    """Rows of the segmentation task."""
    return (row for row in rows if row.task == "segmentation")


def test_curves_show_the_bounds_and_every_measure_of_the_default_model(
    models: dict[str, ModelScores],
) -> None:
    shown = list(curves(ious_of(models), judged_masks(models), 11))
    for protocol, task in product(PROTOCOLS, TASKS):
        model, judged = default_model(task, SOME_MODELS), judged_proposal(protocol, task)
        names = [
            (curve.train_split, curve.measure)
            for curve in shown
            if (curve.protocol, curve.task, curve.model) == (protocol, task, model)
        ]
        measures = JudgedMasks(protocol, judged, model, models[model]).measures
        assert names == [*(("", bound) for bound in BOUNDS), *measures]
    assert all(len(curve.corrected_fraction) == len(curve.mean_iou) == 11 for curve in shown)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_correlations_take_scores_as_scores(models: dict[str, ModelScores], protocol: str) -> None:
    scores = models["small"]
    found = pd.concat(correlations(own_masks(judged_masks(models)))).query(
        "protocol == @protocol and train_split == 'coco_train' and model == 'small'"
    )
    pearson = found.set_index("row").dropna(axis=1).drop(columns=ABOUT)
    heads = scores.predictions[HeadSet(protocol, protocol)]["coco_train"]
    columns = {
        "iou_gt": scores.proposals.judged_iou(protocol),
        "sam_score": scores.proposals.judged_sam_score(protocol),
        "usam": heads["iou_small"],
        "delta_a_star": heads["task_gap"],
        "h_theta": scores.entropies[protocol]["h_theta"],
    }
    untrained = [m for m in UNTRAINED_MEASURES if protocol == "best" or m != "sam_score_highest"]
    assert list(pearson) == list(pearson.index) == ["iou_gt", *untrained, *HEAD_MEASURES]
    expected = np.corrcoef(np.stack(list(columns.values())).astype(np.float64))
    np.testing.assert_allclose(pearson.loc[[*columns], [*columns]], expected, atol=1e-9)


def test_a_constant_correlates_with_nothing_not_even_itself() -> None:
    scores = random_scores(0, train_splits=())
    constant = np.full(40, 0.1, np.float32)
    entropies = {**scores.entropies, "best": {**scores.entropies["best"], "h_y": constant}}
    found, _ = correlations(own_masks(judged_masks({"tiny": replace(scores, entropies=entropies)})))
    pearson = found.set_index("row").drop(columns=ABOUT)
    assert pearson["h_y"].isna().all()
    others = pearson.drop(index="h_y", columns="h_y")
    np.testing.assert_allclose(np.diag(others), 1)
    assert others.notna().all(axis=None)
