"""AUC, curves, mean IoUs and correlations of split results, against other libraries."""

from dataclasses import astuple, replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from pipeline.heads.kinds import HeadSet, head_sets
from pipeline.scoring.auc import correction_auc
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.bootstrap import scores as bootstrap_scores
from pipeline.scoring.corrections import (
    auc_scores,
    correlations,
    curves,
    iou_scores,
)
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import BOUNDS, HEAD_MEASURES, KNOWS_TRUTH, UNTRAINED_MEASURES
from pipeline.scoring.scores import Keys
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
from tests.fixtures.scores import ByKeys, by_keys, low_value_high

ABOUT = ["protocol", "train_split", "model"]
RESAMPLES = resample_groups(np.arange(40) // 3, 50, seed=0)
SOME_MODELS = ("tiny", "small", "large")


@pytest.fixture(scope="module")
def models() -> dict[str, ModelScores]:
    return {model: random_scores(seed) for seed, model in enumerate(SOME_MODELS)}


@pytest.fixture(scope="module")
def scores(models: dict[str, ModelScores]) -> ByKeys:
    return by_keys(auc_scores(models, RESAMPLES), RESAMPLES)


@pytest.mark.no_cover
def test_every_task_scores_every_measure_of_every_model(scores: ByKeys) -> None:
    asked = [(key.protocol, key.task, key.model, key.train_split, key.measure) for key in scores]
    assert asked == [
        (protocol, task, model, *name)
        for protocol, task in product(PROTOCOLS, TASKS)
        for model in SOME_MODELS
        for name in names_of(protocol, judged_proposal(protocol, task))
    ]


def names_of(protocol: str, judged: str) -> list[tuple[str, str]]:
    """Train split and name of all measures that a protocol shows for a judged proposal."""
    hidden = {"best": (), "selected": ("sam_score_highest",)}[judged]
    if protocol == judged:
        hidden = (*hidden, *KNOWS_TRUTH)
    names = [("", name) for name in UNTRAINED_MEASURES]
    names += [(split, name) for split in TRAIN_SPLITS for name in HEAD_MEASURES]
    return [(split, name) for split, name in names if name not in hidden]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scores_are_the_auc_of_their_measure(
    models: dict[str, ModelScores], scores: ByKeys, protocol: str
) -> None:
    keys = Keys(
        protocol=protocol,
        train_split="davis_train",
        tokens=protocol,
        task="model",
        model="small",
        measure="delta_theta",
    )
    areas = [scores[keys][name].value for name in ("auc", "oracle", "worst", "relative")]
    heads = models["small"].predictions[HeadSet(protocol, protocol), "davis_train"]
    expected = correction_auc(
        models["tiny"].proposals.judged_iou(protocol),
        models["large"].proposals.judged_iou(protocol),
        heads["iou_large"].astype(np.float64) - heads["iou_tiny"],
    )
    assert areas == pytest.approx(astuple(expected), abs=1e-12)


@pytest.mark.no_cover
def test_measures_that_know_the_truth_reach_the_oracle() -> None:
    base = {model: random_scores(seed, train_splits=()) for seed, model in enumerate(MODELS)}
    models = {}
    for model, model_scores in base.items():
        predictions = {
            (head_set, "truth"): true_heads(base, model, head_set.protocol)
            for head_set in head_sets()
        }
        models[model] = replace(model_scores, predictions=predictions)
    foreseen_by = {
        "model": {"delta_theta", "delta_theta_star"},
        "prompt": {"delta_xp", "delta_xp_star"},
        "task": {"delta_a", "delta_a_star"},
        "segmentation": {"usam"},
    }
    for keys, statistics in by_keys(auc_scores(models, RESAMPLES), RESAMPLES).items():
        if keys.measure in foreseen_by[keys.task]:
            assert statistics["relative"].value == pytest.approx(1, abs=1e-5), keys


def true_heads(models: dict[str, ModelScores], model: str, protocol: str) -> dict[str, np.ndarray]:
    """What heads would predict that know the truth."""
    said = models[model].proposals
    own = {name: scores.proposals.judged_iou(protocol) for name, scores in models.items()}
    # Halved, so that no gap is clipped: only the order counts.
    return {
        **{f"iou_{name}": iou for name, iou in own.items()},
        "iou_at_50": own[model],
        "iou_refined": said.judged_refined_iou(protocol),
        "iou_best": said.judged_iou("best"),
        "iou_selected": said.judged_iou("selected"),
        "model_gap": np.float32(0.5) + (own["large"] - own["tiny"]) / 2,
        "prompt_gap": 0.5 + (said.judged_refined_iou(protocol) - own[model]) / 2,
        "task_gap": 0.5 + (said.judged_iou("best") - said.judged_iou("selected")) / 2,
    }


def test_margins_are_differences_to_sam_score(scores: ByKeys) -> None:
    of_task = {
        (keys.train_split, keys.measure): statistics
        for keys, statistics in scores.items()
        if (keys.protocol, keys.task, keys.model) == ("best", "task", "small")
    }
    baseline = of_task["", "sam_score"]
    for statistics in of_task.values():
        expected = statistics["relative"].value - baseline["relative"].value
        assert statistics["margin"].value == pytest.approx(expected)
    assert low_value_high(baseline["margin"]) == (0, 0, 0)


def test_ablated_tokens_are_compared_with_the_method_on_the_same_images() -> None:
    scores = random_scores(0, n_objects=400, train_splits=("coco_train",))
    own = HeadSet("best", "best")
    near = {
        name: value + np.float32(1e-2) * scores.arrays["best"]["h_y"]
        for name, value in scores.predictions[own, "coco_train"].items()
    }
    ablated = {(HeadSet("best", "best_no_iou"), "coco_train"): near}
    both = replace(scores, predictions={**scores.predictions, **ablated})
    resamples = resample_groups(np.arange(400), 200, seed=0)
    found = {
        (keys.tokens, keys.measure): statistics
        for keys, statistics in by_keys(auc_scores({"tiny": both}, resamples), resamples).items()
        if (keys.protocol, keys.task) == ("best", "prompt")
    }
    best, without = found["best", "delta_xp_star"], found["best_no_iou", "delta_xp_star"]
    low, margin, high = low_value_high(without["tokens_margin"])
    assert margin == without["relative"].value - best["relative"].value != 0
    assert low <= margin <= high
    lowest, _, highest = low_value_high(without["relative"])
    assert high - low < (highest - lowest) / 5
    assert low_value_high(best["tokens_margin"]) == (0, 0, 0)
    assert "tokens_margin" not in found["", "h_a"]


def test_scores_of_another_seed_are_of_its_heads_alone() -> None:
    scores = random_scores(0, train_splits=("coco_train",))
    heads = scores.predictions[HeadSet("best", "best"), "coco_train"]
    of_seed = {(HeadSet("best", "best", seed=7), "coco_train"): heads}
    models = {"tiny": replace(scores, predictions={**scores.predictions, **of_seed})}
    by_seed: dict[int | None, ByKeys] = {None: {}, 7: {}}
    for keys, statistics in by_keys(auc_scores(models, RESAMPLES), RESAMPLES).items():
        by_seed[keys.seed][replace(keys, seed=None)] = statistics
    assert {(keys.protocol, keys.tokens) for keys in by_seed[7]} == {("best", "best")}
    for keys, statistics in by_seed[7].items():
        first = by_seed[None][keys]
        assert {name: score.value for name, score in statistics.items()} == {
            name: pytest.approx(score.value) for name, score in first.items()
        }


@pytest.mark.no_cover
def test_intervals_hold_what_the_sample_gives(models: dict[str, ModelScores]) -> None:
    two = {model: models[model] for model in ("tiny", "large")}
    resamples = resample_groups(np.arange(40), 400, seed=1)
    for score in bootstrap_scores(auc_scores(two, resamples), resamples.n_groups):
        if score.statistic in {"auc", "relative"}:
            low, value, high = low_value_high(score)
            assert low < value < high


def test_a_correction_that_gains_nothing_has_no_relative_interval() -> None:
    scores = random_scores(0, train_splits=())
    flawless = np.ones_like(scores.proposals.iou)
    perfect = replace(scores, proposals=replace(scores.proposals, iou=flawless))
    for keys, statistics in by_keys(auc_scores({"large": perfect}, RESAMPLES), RESAMPLES).items():
        if keys.task == "segmentation":
            low, relative, _ = low_value_high(statistics["relative"])
            assert np.isnan([relative, low, statistics["margin"].value]).all()
            assert low_value_high(statistics["auc"]) == (1, 1, 1)


def test_a_measure_that_is_nan_is_named() -> None:
    scores = random_scores(0)
    faulty = scores.predictions[HeadSet("selected", "selected"), "coco_train"]["task_gap"]
    faulty[3] = np.nan
    message = "delta_a_star of tiny by heads of coco_train on selected tokens must .* for 1 of 40"
    with pytest.raises(ValueError, match=message):
        auc_scores({"tiny": scores}, RESAMPLES)
    of_best = scores.arrays["best"]
    arrays = {**scores.arrays, "best": {**of_best, "h_a": of_best["h_a"] * np.nan}}
    with pytest.raises(ValueError, match="h_a of tiny must not be NaN, got NaN for 40 of 40"):
        auc_scores({"tiny": replace(scores, arrays=arrays)}, RESAMPLES)


def test_mean_ious_are_compared_with_one_click_in_the_first_view() -> None:
    first, second = random_scores(0).proposals, random_scores(1).proposals
    views = {("tiny", "identity"): first, ("tiny", "gray"): second, ("large", "gray"): first}
    found = {
        (keys.model, keys.view, keys.proposal): (statistics["mean_iou"], statistics["gain"])
        for keys, statistics in by_keys(iou_scores(views, RESAMPLES), RESAMPLES).items()
    }
    mean_iou, gain = found["tiny", "identity", "best"]
    low, start, high = low_value_high(mean_iou)
    assert low < start < high
    assert start == pytest.approx(first.judged_iou("best").mean())
    assert low_value_high(gain) == (0, 0, 0)
    _, gain = found["tiny", "gray", "refined"]
    assert gain.value == pytest.approx(second.judged_refined_iou("best").mean() - start)
    assert found["large", "gray", "best"][1].value == 0
    # Selected masks are compared with the selected one.
    selected, gain = found["tiny", "identity", "selected"]
    assert low_value_high(gain) == (0, 0, 0)
    assert selected.value < start
    mean_iou, gain = found["tiny", "gray", "selected"]
    low, difference, high = low_value_high(gain)
    assert low < difference < high
    assert difference == pytest.approx(mean_iou.value - selected.value)
    mean_iou, gain = found["tiny", "gray", "refined_selected"]
    assert gain.value == pytest.approx(mean_iou.value - selected.value)


def test_curves_show_the_bounds_and_every_measure_of_the_default_model(
    models: dict[str, ModelScores],
) -> None:
    shown = list(curves(ious_of(models), judged_masks(models), 11))
    for protocol, task in product(PROTOCOLS, TASKS):
        model, judged = default_model(task, SOME_MODELS), judged_proposal(protocol, task)
        names = [
            (curve["train_split"][0], curve["measure"][0])
            for curve in shown
            if (*curve.loc[0, ["protocol", "task", "model"]],) == (protocol, task, model)
        ]
        measures = JudgedMasks(protocol, judged, model, models[model]).measures
        assert names == [*(("", bound) for bound in BOUNDS), *measures]
    assert {len(curve) for curve in shown} == {11}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_correlations_take_scores_as_scores(models: dict[str, ModelScores], protocol: str) -> None:
    scores = models["small"]
    found = pd.concat(correlations(own_masks(judged_masks(models)))).query(
        "protocol == @protocol and train_split == 'coco_train' and model == 'small'"
    )
    pearson = found.set_index("row").dropna(axis=1).drop(columns=ABOUT)
    heads = scores.predictions[HeadSet(protocol, protocol), "coco_train"]
    columns = {
        "iou_gt": scores.proposals.judged_iou(protocol),
        "sam_score": scores.proposals.judged_sam_score(protocol),
        "usam": heads["iou_small"],
        "delta_a_star": heads["task_gap"],
        "h_theta": scores.arrays[protocol]["h_theta"],
    }
    names = [name for split, name in names_of(protocol, protocol) if split in {"", "coco_train"}]
    assert list(pearson) == list(pearson.index) == ["iou_gt", *names]
    expected = np.corrcoef(np.stack(list(columns.values())).astype(np.float64))
    np.testing.assert_allclose(pearson.loc[[*columns], [*columns]], expected, atol=1e-9)


def test_a_constant_correlates_with_nothing_not_even_itself() -> None:
    scores = random_scores(0, train_splits=())
    constant = np.full(40, 0.1, np.float32)
    arrays = {**scores.arrays, "best": {**scores.arrays["best"], "h_y": constant}}
    found, _ = correlations(own_masks(judged_masks({"tiny": replace(scores, arrays=arrays)})))
    pearson = found.set_index("row").drop(columns=ABOUT)
    assert pearson["h_y"].isna().all()
    others = pearson.drop(index="h_y", columns="h_y")
    np.testing.assert_allclose(np.diag(others), 1)
    assert others.notna().all(axis=None)
