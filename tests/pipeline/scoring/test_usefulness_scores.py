"""Statistics of every measure, against other libraries and by hand."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error

from pipeline.proposals import Values
from pipeline.scoring import bootstrap
from pipeline.scoring.calibration import reliability_bins
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import BY_NAME, predicted_iou
from pipeline.scoring.scores import Score
from pipeline.scoring.tasks import JudgedMasks, judged_masks, own_masks
from pipeline.scoring.usefulness import usefulness_scores
from tests.fixtures.model_scores import random_scores
from tests.fixtures.scores import low_value_high

GROUP = np.arange(40) // 3
RESAMPLES = bootstrap.resample_groups(GROUP, 60, seed=0)


def of_masks(masks: list[JudgedMasks]) -> Iterator[Score]:
    return bootstrap.scores(usefulness_scores(masks, RESAMPLES), RESAMPLES.n_groups)


@pytest.fixture(scope="module")
def models() -> dict[str, ModelScores]:
    """Models of which tiny is the worst."""
    made = {model: random_scores(seed) for seed, model in enumerate(("tiny", "large"))}
    tiny = made["tiny"]
    worse = replace(tiny.proposals, iou=tiny.proposals.iou ** np.float32(1.5))
    return made | {"tiny": replace(tiny, proposals=worse)}


@pytest.fixture(scope="module")
def masks(models: dict[str, ModelScores]) -> list[JudgedMasks]:
    return own_masks(judged_masks(models))


@pytest.fixture(scope="module")
def scores(masks: list[JudgedMasks]) -> list[Score]:
    return list(of_masks(masks))


def by_hand(
    models: dict[str, ModelScores], protocol: str, model: str, key: tuple[str, str]
) -> dict[str, float]:
    """Every statistic of one measure that another library has."""
    iou = iou_of(models, protocol, model)
    uncertainty = measures_of(models, protocol, model)[key]
    order = np.argsort(uncertainty)
    areas = [np.mean((1 - iou)[order][: k + 1]) for k in range(len(iou))]
    found: dict[str, float] = {"aurc": float(np.mean(areas))}
    if BY_NAME[key[1]].predicted_iou:
        predicted = predicted_iou(key[1], uncertainty)
        by_prediction = np.argsort(predicted)
        # 40 objects: four a bin.
        gaps = (predicted - iou)[by_prediction].reshape(10, 4).mean(axis=1)
        found["calibration_error"] = float(np.abs(gaps).mean())
        found["root_mean_square"] = root_mean_squared_error(iou, predicted)
        found["bias"] = float(predicted.mean() - iou.mean())
    return found


def iou_of(models: dict[str, ModelScores], protocol: str, model: str) -> Values:
    return models[model].proposals.judged_iou(protocol).astype(np.float64)


def measures_of(
    models: dict[str, ModelScores], protocol: str, model: str
) -> dict[tuple[str, str], Values]:
    return JudgedMasks(protocol, protocol, model, models[model]).measures


@pytest.mark.no_cover
@pytest.mark.parametrize(("protocol", "model"), [("best", "tiny"), ("selected", "large")])
def test_numbers_are_those_of_other_libraries(
    models: dict[str, ModelScores], scores: list[Score], protocol: str, model: str
) -> None:
    for key in measures_of(models, protocol, model):
        found = {
            score.statistic: score.value
            for score in scores
            if (score.keys.protocol, score.keys.model) == (protocol, model)
            if (score.keys.train_split, score.keys.measure) == key
        }
        expected = by_hand(models, protocol, model, key)
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-9), (key, name)
        assert found.keys() == expected.keys()


def test_intervals_hold_what_the_sample_gives(scores: list[Score]) -> None:
    intervals = [low_value_high(score) for score in scores]
    is_inside = [
        low <= value <= high
        for score, (low, value, high) in zip(scores, intervals, strict=True)
        # Few bins of few objects are farther from true in a resample than in the sample.
        if score.statistic != "calibration_error"
    ]
    assert np.mean(is_inside) > 0.97
    assert np.mean([low < high for low, _, high in intervals]) > 0.95


def test_flawless_masks_have_no_risk() -> None:
    scores = random_scores(0, train_splits=())
    flawless = replace(scores.proposals, iou=np.ones_like(scores.proposals.iou))
    masks = own_masks(judged_masks({"large": replace(scores, proposals=flawless)}))
    for score in of_masks(masks):
        low, value, high = low_value_high(score)
        if score.statistic == "aurc":
            assert low == value == high == 0


def test_bins_are_those_whose_distance_the_error_is(
    masks: list[JudgedMasks], scores: list[Score]
) -> None:
    errors = {
        (score.keys.protocol, score.keys.train_split, score.keys.model, score.keys.measure): (
            score.value
        )
        for score in scores
        if score.statistic == "calibration_error"
    }
    bins = list(reliability_bins(masks, RESAMPLES))
    is_inside = [row["iou_low"] <= row["iou"] <= row["iou_high"] for row in bins]
    assert np.mean(is_inside) > 0.95
    gaps: dict[tuple[str, str, str, str], list[float]] = {}
    for row in bins:
        key = (row["protocol"], row["train_split"], row["model"], row["measure"])
        assert row["bin"] == len(gaps.setdefault(key, []))
        gaps[key].append(abs(row["predicted_iou"] - row["iou"]))
    assert {key: pytest.approx(np.mean(gap)) for key, gap in gaps.items()} == errors
