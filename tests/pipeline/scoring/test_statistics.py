"""Statistics of every measure, against other libraries and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, root_mean_squared_error

from pipeline.proposals import Values
from pipeline.result_rows import StatisticRow
from pipeline.runtime import METHODS
from pipeline.scoring.auc import correction_auc, correction_curve
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.corrections import BOUNDS
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measures import BY_NAME, MEASURES, predicted_iou
from pipeline.scoring.statistics import (
    FAILURE_IOUS,
    STATISTICS,
    coverage_curves,
    of_largest,
    reliability_rows,
    statistic_rows,
)
from pipeline.scoring.tasks import JudgedMasks, judged_masks, own_masks
from pipeline.vocabulary import PROTOCOLS
from tests.fixtures.model_scores import random_scores

GROUP = np.arange(40) // 3
RESAMPLES = resample_groups(GROUP, 60, seed=0)


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
def rows(masks: list[JudgedMasks]) -> list[StatisticRow]:
    return list(statistic_rows(masks, RESAMPLES))


def by_hand(
    models: dict[str, ModelScores], protocol: str, model: str, key: tuple[str, str]
) -> dict[tuple[str, float | None], float]:
    """Every statistic of one measure that another library has."""
    iou = iou_of(models, protocol, model)
    uncertainty = measures_of(models, protocol, model)[key]
    order = np.argsort(uncertainty)
    areas = [np.mean((1 - iou)[order][: k + 1]) for k in range(len(iou))]
    oracle = [np.mean(np.sort(1 - iou)[: k + 1]) for k in range(len(iou))]
    found: dict[tuple[str, float | None], float] = {
        ("aurc", None): float(np.mean(areas)),
        ("excess_aurc", None): float(np.mean(areas) - np.mean(oracle)),
        ("augrc", None): 1 - correction_auc(iou, np.ones_like(iou), uncertainty).auc,
        ("pearson", None): stats.pearsonr(1 - iou, uncertainty).statistic,
        ("spearman", None): stats.spearmanr(1 - iou, uncertainty).statistic,
    }
    for limit in FAILURE_IOUS:
        fails = iou < limit
        found["auroc", limit] = roc_auc_score(fails, uncertainty)
        found["average_precision", limit] = average_precision_score(fails, uncertainty)
    if BY_NAME[key[1]].predicted_iou:
        predicted = predicted_iou(key[1], uncertainty)
        by_prediction = np.argsort(predicted)
        # 40 objects: four a bin.
        gaps = (predicted - iou)[by_prediction].reshape(10, 4).mean(axis=1)
        found["calibration_error", None] = float(np.abs(gaps).mean())
        found["root_mean_square", None] = root_mean_squared_error(iou, predicted)
        found["bias", None] = float(predicted.mean() - iou.mean())
    return found


def iou_of(models: dict[str, ModelScores], protocol: str, model: str) -> Values:
    return models[model].proposals.judged_iou(protocol).astype(np.float64)


def measures_of(
    models: dict[str, ModelScores], protocol: str, model: str
) -> dict[tuple[str, str], Values]:
    return JudgedMasks(protocol, protocol, model, models[model]).measures


@pytest.mark.parametrize(("protocol", "model"), [("best", "tiny"), ("selected", "large")])
def test_numbers_are_those_of_other_libraries(
    models: dict[str, ModelScores], rows: list[StatisticRow], protocol: str, model: str
) -> None:
    own = [row for row in rows if (row.protocol, row.model) == (protocol, model)]
    for key in measures_of(models, protocol, model):
        found = {
            (row.statistic, row.iou_below): row.value
            for row in own
            if (row.train_split, row.measure) == key
        }
        expected = by_hand(models, protocol, model, key)
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-9), (key, name)
        rest = {name for name, _ in found.keys() - expected.keys()}
        assert rest == {"false_alarms"} | ({"routed"} if model == "tiny" else set())


def test_every_declared_statistic_has_rows_and_no_other(rows: list[StatisticRow]) -> None:
    assert {row.statistic for row in rows} == {statistic.name for statistic in STATISTICS}
    assert {row.iou_below for row in rows} == {None, *FAILURE_IOUS}


def test_the_share_sent_on_matches_the_large_model(
    models: dict[str, ModelScores], rows: list[StatisticRow]
) -> None:
    sent = [row for row in rows if row.statistic == "routed"]
    assert {row.model for row in sent} == {"tiny"}
    for row in sent:
        tiny, large = (iou_of(models, row.protocol, model) for model in ("tiny", "large"))
        uncertainty = measures_of(models, row.protocol, "tiny")[row.train_split, row.measure]
        share, mean_iou = correction_curve(tiny, large, uncertainty, n_points=4001)
        reached = share[np.argmax(mean_iou >= large.mean() - 0.01)]
        assert row.value == pytest.approx(reached, abs=1e-3)
        assert 0 < row.value < 1


def test_of_a_single_model_nothing_is_sent_on(masks: list[JudgedMasks]) -> None:
    few = [one for one in masks if one.model == "tiny"]
    assert "routed" not in {row.statistic for row in statistic_rows(few, RESAMPLES)}


def test_intervals_hold_what_the_sample_gives(rows: list[StatisticRow]) -> None:
    # Few bins of few objects are farther from true in a resample than in the sample.
    smooth = [row for row in rows if row.statistic not in {"calibration_error", "excess_aurc"}]
    inside = [row.value_interval.low <= row.value <= row.value_interval.high for row in smooth]
    assert np.mean(inside) > 0.97
    assert np.mean([row.value_interval.low < row.value_interval.high for row in rows]) > 0.95


def test_masks_that_never_fail_leave_failures_untold() -> None:
    scores = random_scores(0, train_splits=())
    flawless = replace(scores.proposals, iou=np.ones_like(scores.proposals.iou))
    masks = own_masks(judged_masks({"large": replace(scores, proposals=flawless)}))
    for row in statistic_rows(masks, RESAMPLES):
        is_of_failures = row.iou_below is not None
        is_of_order = row.statistic in {"pearson", "spearman"}
        assert (
            np.isnan(row.value)
            == np.isnan(row.value_interval.low)
            == (is_of_failures or is_of_order)
        )
        if row.statistic in {"aurc", "excess_aurc", "augrc"}:
            assert row.value == row.value_interval.low == row.value_interval.high == 0


def test_curves_are_of_the_largest_model_with_its_bounds(
    models: dict[str, ModelScores], masks: list[JudgedMasks]
) -> None:
    curves = list(coverage_curves(of_largest(masks), 20))
    assert {curve.model for curve in curves} == {"large"}
    for protocol in PROTOCOLS:
        own = {
            (curve.train_split, curve.measure): curve.selective_risk
            for curve in curves
            if curve.protocol == protocol
        }
        bounds = [("", bound) for bound in BOUNDS]
        assert list(own) == [*bounds, *measures_of(models, protocol, "large")]
        iou = iou_of(models, protocol, "large")
        np.testing.assert_allclose(own["", "random"], 1 - iou.mean())
        for risk in own.values():
            assert (risk >= own["", "oracle"] - 1e-12).all()
            assert (risk <= own["", "worst"] + 1e-12).all()
            assert risk[-1] == pytest.approx(1 - iou.mean())


def test_bins_are_those_whose_distance_the_error_is(
    masks: list[JudgedMasks], rows: list[StatisticRow]
) -> None:
    errors = {
        (row.protocol, row.train_split, row.model, row.measure): row.value
        for row in rows
        if row.statistic == "calibration_error"
    }
    is_inside = [
        row.iou_interval.low <= row.iou <= row.iou_interval.high
        for row in reliability_rows(masks, RESAMPLES)
    ]
    assert np.mean(is_inside) > 0.95
    gaps: dict[tuple[str, str, str, str], list[float]] = {}
    for row in reliability_rows(masks, RESAMPLES):
        key = (row.protocol, row.train_split, row.model, row.measure)
        assert row.bin == len(gaps.setdefault(key, []))
        gaps[key].append(abs(row.predicted_iou - row.iou))
    assert {key: pytest.approx(np.mean(gap)) for key, gap in gaps.items()} == errors


def test_measures_that_are_timed_are_timed_as_a_method() -> None:
    assert {measure.timed_as for measure in MEASURES} - {""} <= set(METHODS)
