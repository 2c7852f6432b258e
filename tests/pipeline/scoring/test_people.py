"""The comparison with people: its plan, and its statistics against slow and obvious versions."""

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.scoring import bootstrap
from pipeline.scoring.auc import correction_auc
from pipeline.scoring.measures import BASELINE
from pipeline.scoring.people import (
    DRAWN,
    FOLLOWED,
    PEOPLE,
    PERSON,
    PLAN,
    TASK_AMBIGUITY,
    People,
    drawn_scores,
    people_scores,
    rank_statistics,
)
from pipeline.scoring.scores import Score, names_of
from pipeline.scoring.tasks import JudgedMasks, judged_masks, trained_masks
from pipeline.vocabulary import USED
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.model_scores import random_scores
from tests.fixtures.scores import low_value_high

N_MODELS: Final = 4
N_OBJECTS, N_PERSONS = 40, 4
GROUP = np.arange(N_OBJECTS) // 3
RESAMPLES = bootstrap.resample_groups(GROUP, 60, seed=0)
MODELS = {model: random_scores(seed) for seed, model in enumerate(("tiny", "large"))}
TRAINED = "coco_train"
Scores = dict[tuple[Any, ...], tuple[float, float, float]]
ALONE = 5
"""A click in a segment of one person alone."""
OF_TWO = 6
"""A click in the segments of two persons alone."""


def draw_people(seed: int = 0) -> People:
    """People of whom one, at random, or more have no segment around each click."""
    rng = np.random.default_rng(seed)
    pair_iou = rng.random((N_OBJECTS, N_PERSONS, N_PERSONS))
    pair_iou = (pair_iou + pair_iou.swapaxes(1, 2)) / 2
    pair_iou[:, np.arange(N_PERSONS), np.arange(N_PERSONS)] = 1
    area = rng.uniform(0.01, 0.5, (N_OBJECTS, N_PERSONS))
    mask_iou = {model: rng.random((N_OBJECTS, 3, N_PERSONS)) for model in MODELS}
    hand = rng.integers(0, N_PERSONS, N_OBJECTS)
    for click, without in enumerate((hand + rng.integers(1, N_PERSONS, N_OBJECTS)) % N_PERSONS):
        others = np.delete(np.arange(N_PERSONS), without)
        n_others = {ALONE: 0, OF_TWO: 1}.get(click, N_PERSONS)
        there = [hand[click], *others[others != hand[click]][:n_others]]
        absent = np.setdiff1d(np.arange(N_PERSONS), there)
        pair_iou[click, absent] = pair_iou[click, :, absent] = area[click, absent] = np.nan
        for iou in mask_iou.values():
            iou[click, :, absent] = np.nan
    return People(pair_iou, area, hand, mask_iou, np.ones(N_OBJECTS))


PEOPLE_AROUND = draw_people()


@pytest.fixture(scope="module")
def scores() -> Scores:
    found = by_keys(people_scores(trained_masks(MODELS), PEOPLE_AROUND, RESAMPLES))
    assert {key[-1] for key in found} == {*names_of(PEOPLE)} - {*DRAWN.values()}
    return found


def by_keys(scores: Iterable[Score]) -> Scores:
    return {
        (k.model, k.seed, k.train_split, k.measure, k.choice, score.statistic): low_value_high(
            score
        )
        for score in scores
        for k in [score.keys]
    }


def slow_truths(iou: np.ndarray, hand: int) -> dict[str, float]:
    """Truths of one mask, from its IoU with the segment of each person."""
    persons = [p for p in range(len(iou)) if not np.isnan(iou[p])]
    left_out = [iou[p] for p in persons if p != hand]
    return {
        "hand": iou[hand],
        "drawn": np.mean(iou[persons]),
        "nearest": max(iou[persons]),
        "left_out": np.mean(left_out) if left_out else np.nan,
    }


def clicks() -> list[int]:
    return [click for click in range(N_OBJECTS) if click != ALONE]


def slow_agreement(click: int) -> float:
    there = np.flatnonzero(~np.isnan(PEOPLE_AROUND.area[click]))
    return float(np.mean([PEOPLE_AROUND.pair_iou[click, a, b] for a, b in combinations(there, 2)]))


def selected_masks() -> dict[str, JudgedMasks]:
    return {m.model: m for m in judged_masks(MODELS) if m.protocol == m.judged == USED}


def test_the_agreement_of_a_click_is_the_mean_iou_of_pairs_of_persons() -> None:
    found = PEOPLE_AROUND.agreement
    np.testing.assert_allclose(found[clicks()], [slow_agreement(click) for click in clicks()])
    assert np.isnan(found[ALONE])


def test_masks_and_persons_are_compared_with_each_truth(scores: Scores) -> None:
    chosen = {USED: lambda s: s.sam_score, "best": lambda s: s.iou}
    for model, name in [(model, name) for model in MODELS for name in chosen]:
        place = chosen[name](MODELS[model].proposals).argmax(axis=1)
        iou = PEOPLE_AROUND.mask_iou[model][np.arange(N_OBJECTS), place]
        by_click = [slow_truths(iou[click], PEOPLE_AROUND.hand[click]) for click in clicks()]
        for truth in by_click[0]:
            found = scores[model, None, "", "", name, f"truth_iou_{truth}"][1]
            assert found == pytest.approx(np.mean([of[truth] for of in by_click]))
    of_person = []
    for click in clicks():
        hand, pairs = PEOPLE_AROUND.hand[click], PEOPLE_AROUND.pair_iou[click]
        others = [p for p in range(N_PERSONS) if p != hand and not np.isnan(pairs[p, p])]
        by_person = [
            slow_truths(np.where(np.arange(4) == p, np.nan, pairs[p]), hand) for p in others
        ]
        of_person.append({t: np.mean([of[t] for of in by_person]) for t in by_person[0]})
    for truth in of_person[0]:
        found = scores["", None, "", "", PERSON, f"truth_iou_{truth}"][1]
        # Where two persons have segments, nobody is left out but these two.
        ious = [of[truth] for of in of_person if not np.isnan(of[truth])]
        assert len(ious) == len(of_person) - (truth == "left_out")
        assert found == pytest.approx(np.mean(ious))


def test_measures_are_correlated_with_disagreement_by_ranks(scores: Scores) -> None:
    there = clicks()
    disagreement = [1 - slow_agreement(click) for click in there]
    area = np.nanmean(np.log(PEOPLE_AROUND.area[there]), axis=1)

    def slow(values: np.ndarray) -> tuple[float, float]:
        """Spearman's correlation, and that of what the ranks of areas leave of the ranks."""
        ranks = [stats.rankdata(of) for of in (values[there], disagreement)]
        of_area = stats.rankdata(area)
        left = [r - np.polyval(np.polyfit(of_area, r, 1), of_area) for r in ranks]
        return stats.spearmanr(values[there], disagreement)[0], np.corrcoef(*left)[0, 1]

    for model, judged in selected_masks().items():
        rho = {key: slow(values) for key, values in judged.measures.items()}
        for (train_split, name), (rank, given) in rho.items():
            found = {
                s: scores[model, None, train_split, name, "", s][1]
                for s in ("people_rank", "people_rank_area", "people_margin")
            }
            assert found["people_rank"] == pytest.approx(rank)
            assert found["people_rank_area"] == pytest.approx(given)
            assert found["people_margin"] == pytest.approx(rank - rho["", "sam_score"][0])
            for s, peer in zip(("model", "prompt"), TASK_AMBIGUITY.get(name, ()), strict=False):
                found_margin = scores[model, None, train_split, name, "", f"people_margin_{s}"][1]
                assert found_margin == pytest.approx(rank - rho[train_split, peer][0])


def test_heads_are_compared_with_stable_scores_under_each_truth(scores: Scores) -> None:
    there, judged = clicks(), selected_masks()["large"]
    place = MODELS["large"].proposals.sam_score.argmax(axis=1)
    iou = PEOPLE_AROUND.mask_iou["large"][np.arange(N_OBJECTS), place]
    truths = [slow_truths(iou[click], PEOPLE_AROUND.hand[click]) for click in there]
    for truth in truths[0]:
        of_truth = np.array([of[truth] for of in truths])
        heads, stable = (
            correction_auc(of_truth, np.ones(len(there)), judged.measures[key][there]).relative
            for key in ((TRAINED, "usam_ours"), ("", "stable_score"))
        )
        found = scores["large", None, TRAINED, "usam_ours", "", f"truth_margin_{truth}"][1]
        assert found == pytest.approx(heads - stable)


def test_the_rise_compares_a_person_drawn_at_random_with_the_nearest(scores: Scores) -> None:
    of = {
        (name, truth): scores["tiny", None, "", "", name, f"truth_iou_{truth}"][1]
        for name in ("best", USED)
        for truth in ("drawn", "nearest")
    }
    rises = [of["best", truth] - of[USED, truth] for truth in ("drawn", "nearest")]
    assert scores["tiny", None, "", "", "", "people_rise"][1] == pytest.approx(rises[0] - rises[1])


def test_each_hypothesis_has_a_p_value_for_each_model_and_seed(scores: Scores) -> None:
    tested = {key for key in scores if key[-1].endswith("_p")}
    statistics = {(*key[:-1], key[-1].removesuffix("_p")) for key in tested}
    assert statistics == {key for key in scores if key[3] in PLAN.get(key[-1], ())}
    n_of_heads = sum(of != "h_a" for measures in PLAN.values() for of in measures if of)
    n_seeds = len({key[1] for key in tested})
    n_without = sum(map(len, PLAN.values())) - n_of_heads
    assert len(tested) == len(MODELS) * (n_without + 2 * n_seeds * n_of_heads)


def test_a_drawn_click_that_weighs_twice_counts_as_two_clicks() -> None:
    weight = 1 + np.arange(N_OBJECTS) % 3
    rows = np.repeat(np.arange(N_OBJECTS), weight)
    weighted = replace(PEOPLE_AROUND, weight=weight.astype(float))
    found = by_keys(drawn_scores(MODELS, weighted, RESAMPLES))
    assert {key[-1] for key in found} == {*DRAWN.values()}
    agreement = pd.Series(PEOPLE_AROUND.agreement[rows])
    assert found["", None, "", "", "", "drawn_agreement"][1] == pytest.approx(agreement.mean())
    for model, judged in selected_masks().items():
        ranked = {key: of for key, of in judged.measures.items() if key[1] in FOLLOWED}
        for (train_split, name), values in ranked.items():
            rho = agreement.corr(pd.Series(-values[rows]), method="spearman")
            of_measure = found[model, None, train_split, name, "", "drawn_rank"][1]
            assert of_measure == pytest.approx(rho)
        place = MODELS[model].proposals.sam_score.argmax(axis=1)
        iou = PEOPLE_AROUND.mask_iou[model][np.arange(N_OBJECTS), place]
        nearest = np.nanmax(iou, axis=1)[rows[agreement.notna()]].mean()
        assert found[model, None, "", "", USED, "drawn_iou_nearest"][1] == pytest.approx(nearest)
    assert len({key[3] for key in found if key[-1] == "drawn_rank"}) == len(FOLLOWED)


def test_intervals_are_for_the_images_that_have_the_statistic() -> None:
    """Half of the images, or all: the interval is the same where the rest has one person."""
    resamples = bootstrap.resample_groups(GROUP, 400, seed=0)
    few = np.arange(N_OBJECTS) < N_OBJECTS // 2
    alone = ~few[:, np.newaxis] & (np.arange(N_PERSONS) != PEOPLE_AROUND.hand[:, np.newaxis])
    pair_iou = np.where(
        alone[:, np.newaxis] | alone[:, :, np.newaxis], np.nan, PEOPLE_AROUND.pair_iou
    )
    people = replace(PEOPLE_AROUND, pair_iou=pair_iou)
    found = by_keys(people_scores([], people, resamples))
    there, own = PEOPLE_AROUND.of(few), resamples.of(few)
    expected = by_keys(people_scores([], there, own))
    assert found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key])


def test_one_person_for_each_image_has_no_statistics() -> None:
    alone = PEOPLE_AROUND.of(np.arange(N_OBJECTS) == ALONE)
    assert [*people_scores(trained_masks(MODELS), alone, RESAMPLES)] == []
    assert [*drawn_scores({}, alone, RESAMPLES)] == []


def test_clicks_without_agreement_count_in_no_resample() -> None:
    is_there = np.arange(N_OBJECTS) >= 4  # none of the first image, and not all of the second
    kept = RESAMPLES.of(is_there)
    assert (kept.n_groups, len(kept)) == (RESAMPLES.n_groups - 1, len(RESAMPLES))
    np.testing.assert_array_equal(
        kept.n_drawn[:, kept.group], RESAMPLES.n_drawn[:, RESAMPLES.group[is_there]]
    )
    three_images = RESAMPLES.of(np.arange(N_OBJECTS) < 9)
    assert three_images.n_objects.min() > 0  # some draws had none of these
    assert 1 < len(three_images) < len(RESAMPLES)
    two_images = replace(RESAMPLES, group=GROUP).of(np.arange(N_OBJECTS) < 6)
    assert (two_images.n_groups, len(two_images)) == (2, 1)


def test_what_few_or_equal_ranks_do_not_tell_is_nan_and_never_sure() -> None:
    few = np.arange(N_OBJECTS) >= N_OBJECTS - 4
    people, resamples = PEOPLE_AROUND.of(few), bootstrap.resample_groups(np.arange(4), 60, seed=0)
    by_area = people.log_area
    measures = {
        ("", name): values for name, values in {BASELINE: by_area, "h_a": 0 * by_area}.items()
    }
    of = rank_statistics(measures, people, resamples)
    assert np.isnan(of["", BASELINE]["people_rank_area"]).all()
    assert np.isnan(of["", "h_a"]["people_rank"]).all()
    assert [of["", "h_a"][name][0] for name in of["", "h_a"] if name.endswith("_p")] == [1] * 3


def test_the_plan_in_the_docs_has_the_hypotheses_that_are_tested() -> None:
    doc = (ROOT / "docs/method.md").read_text("utf-8")
    plan = doc.partition("<!-- plan -->")[2].partition("<!-- /plan -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", plan, re.MULTILINE)
    told = {name: tuple(re.findall(r"`(\w+)`", measures)) or ("",) for name, measures in rows}
    assert told == PLAN
    n_tests = N_MODELS * sum(map(len, PLAN.values()))
    assert f"these are {n_tests} tests" in doc
    n_of_disagreement = N_MODELS * sum(
        len(measures)
        for name, measures in PLAN.items()
        if name.startswith(("people_rank", "people_margin"))
    )
    assert f"({n_of_disagreement} tests)" in doc
