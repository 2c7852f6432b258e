"""What each measure is made of, and that larger is always more uncertain."""

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from pipeline.heads.kinds import KINDS, HeadSet, head_sets
from pipeline.mask_statistics import ENTROPIES
from pipeline.proposals import ProposalScores
from pipeline.scoring.evidence import Evidence
from pipeline.scoring.measures import (
    BASELINE,
    BY_NAME,
    GALLERY_MEASURES,
    HEAD_MEASURES,
    KNOWS_TRUTH,
    MEASURES,
    OF_KIND,
    TASK_MEASURES,
    UNTRAINED_MEASURES,
)
from pipeline.scoring.tasks import JudgedMasks, measures_of, trained_masks
from pipeline.vocabulary import JUDGED, TASKS, protocol_objectives
from tests.fixtures.mini import MODELS, OBJECTIVES
from tests.fixtures.model_scores import TRAIN_SPLITS, random_scores


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def evidence_of(
    predictions: dict[str, np.ndarray], model: str, *, protocol: str = "best"
) -> Evidence:
    """Heads, and anything else."""
    (n_objects,) = {len(values) for values in predictions.values()}
    head_set = HeadSet(protocol, protocol)
    return Evidence(model, protocol, random_scores(0, n_objects), head_set, predictions)


def test_of_equal_proposals_the_first_is_judged() -> None:
    iou = np.array([[0.2, 0.9, 0.9]], np.float32)
    scores = ProposalScores(iou, iou, iou, iou[:, ::-1])
    assert scores.judged_refined_iou("selected") == np.float32(0.2)


@pytest.mark.parametrize("judged", JUDGED)
def test_untrained_measures_are_of_the_judged_proposal(judged: str) -> None:
    scores = random_scores(0)
    own = scores.proposals
    by = own.iou if judged == "best" else own.sam_score
    measures = measures_of(Evidence("tiny", judged, scores))
    rows = np.arange(len(by)), by.argmax(axis=1)
    np.testing.assert_allclose(measures.pop("sam_score"), 1 - own.sam_score[rows])
    highest = measures.pop("sam_score_highest", None)
    # Where the selected proposal is judged, its SamScore is the highest.
    assert (highest is None) == (judged == "selected")
    if highest is not None:
        np.testing.assert_allclose(highest, 1 - own.sam_score.max(axis=1))
    largest = scores.largest.judged_sam_score(judged)
    np.testing.assert_allclose(measures.pop("sam_score_largest"), 1 - largest)
    gain = largest.astype(np.float64) - own.sam_score[rows]
    np.testing.assert_allclose(measures.pop("sam_score_gain"), gain, atol=1e-12)
    entropies = {entropy.name for entropy in ENTROPIES}
    assert entropies <= set(measures)
    for name, value in scores.arrays[judged].items():
        expected = value if name in entropies else 1 - value.astype(np.float64)
        np.testing.assert_array_equal(measures[name], expected)


@pytest.mark.parametrize("protocol", ["best", "selected"])
@pytest.mark.parametrize("model", MODELS)
def test_head_measures_follow_their_formulas(model: str, protocol: str) -> None:
    rng = np.random.default_rng(0)
    names = protocol_objectives(protocol, MODELS)
    heads = {name: rng.random(5, dtype=np.float32) for name in names}
    measures = measures_of(evidence_of(heads, model, protocol=protocol))
    assert [*measures] == [name for name in OF_KIND["paper"] if name not in KNOWS_TRUTH]
    usam = heads[f"iou_{model}"]
    expected = {
        "usam": 1 - usam,
        "delta_theta": heads["iou_large"] - heads["iou_tiny"],
        "delta_xp": heads["iou_refined"] - usam,
        "delta_a": (
            usam - heads["iou_selected"] if protocol == "best" else heads["iou_best"] - usam
        ),
        "delta_theta_star": heads["model_gap"] - 0.5,
        "delta_xp_star": heads["prompt_gap"] - 0.5,
        "delta_a_star": heads["task_gap"] - 0.5,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(measures[name], values, atol=1e-6, err_msg=name)


def test_a_model_has_its_measures_once_and_those_of_each_train_split() -> None:
    scores = random_scores(0)
    measures = JudgedMasks("best", "best", "tiny", scores).measures
    assert list(measures) == [
        (split, name)
        for split, names in (("", UNTRAINED_MEASURES), *product(TRAIN_SPLITS, [HEAD_MEASURES]))
        for name in names
        if name not in KNOWS_TRUTH
    ]
    assert all(values.dtype == np.float64 for values in measures.values())
    first, second = (measures[split, "usam"] for split in TRAIN_SPLITS)
    assert first != pytest.approx(second)


def test_what_knows_the_best_proposal_is_of_the_task_of_protocol_best_alone() -> None:
    scores = random_scores(0)
    iou, sam_score = scores.proposals.iou, scores.proposals.sam_score
    measures = JudgedMasks("best", "selected", "small", scores).measures
    misses = iou.argmax(axis=1) != sam_score.argmax(axis=1)
    assert {*misses} == {False, True}
    np.testing.assert_array_equal(measures["", "not_selected"], misses)
    gap = scores.predictions[HeadSet("best", "best"), "davis_train"]["task_gap"]
    known = measures["davis_train", "delta_a_star_known"]
    np.testing.assert_array_equal(known, gap.astype(np.float64) - 0.5)
    for judged in JUDGED:
        names = {name for _, name in JudgedMasks(judged, judged, "small", scores).measures}
        assert names.isdisjoint(KNOWS_TRUTH)


def test_another_seed_has_the_measures_of_its_own_heads_and_the_baseline() -> None:
    scores = random_scores(0)
    heads = {name: column(0.25) for name in (*OBJECTIVES, "iou_at_50")}
    of_seed = {
        (replace(head_set, seed=7), split): heads
        for head_set, split in product(head_sets(), TRAIN_SPLITS)
    }
    models = {"tiny": replace(scores, predictions={**scores.predictions, **of_seed})}
    first, seventh = trained_masks(models)[:3], trained_masks(models)[3:]
    assert [masks.seed for masks in (*first, *seventh)] == [None, None, None, 7, 7, 7]
    for of_first, of_other in zip(first, seventh, strict=True):
        assert {*of_other.measures} == {("", BASELINE)} | {
            (split, name)
            for split, name in of_first.measures
            if split and name != "sam_score_isotonic"
        }
        assert of_other.measures["davis_train", "usam"] == pytest.approx(0.75)
        np.testing.assert_array_equal(
            of_first.measures["davis_train", "usam"],
            JudgedMasks(of_first.protocol, of_first.judged, "tiny", scores).measures[
                "davis_train", "usam"
            ],
        )


@pytest.mark.parametrize(
    ("protocol", "judged"), [("best", "best"), ("best", "selected"), ("selected", "selected")]
)
def test_heads_are_of_the_protocol_and_read_the_tokens_of_the_judged_proposal(
    protocol: str, judged: str
) -> None:
    scores = random_scores(0)
    measures = JudgedMasks(protocol, judged, "small", scores).measures
    heads = scores.predictions[HeadSet(protocol, judged), "davis_train"]
    np.testing.assert_array_equal(
        measures["davis_train", "delta_xp_star"], heads["prompt_gap"].astype(np.float64) - 0.5
    )
    np.testing.assert_array_equal(
        measures["", "h_t"], scores.arrays[judged]["h_t"].astype(np.float64)
    )


def test_every_measure_has_those_of_ablated_tokens_and_of_no_other_proposal() -> None:
    scores = random_scores(0, ablations=("no_iou",))
    measures = JudgedMasks("best", "best", "small", scores).measures_of_tokens
    assert {tokens for _, tokens, _ in measures} == {"", "best", "best_no_iou"}
    without = HeadSet("best", "best_no_iou")
    heads = scores.predictions[without, "davis_train"]
    expected = measures_of(Evidence("small", "best", scores, without, heads))
    found = measures["davis_train", "best_no_iou", "delta_a"]
    np.testing.assert_array_equal(found, expected["delta_a"])
    of_method = {(split, name) for split, tokens, name in measures if tokens in {"", "best"}}
    assert of_method == set(JudgedMasks("best", "best", "small", scores).measures)
    of_user = JudgedMasks("selected", "selected", "small", scores).measures_of_tokens
    assert {tokens for _, tokens, _ in of_user} == {"", "selected"}


def test_a_missing_head_is_named() -> None:
    heads = {name: column(0.5) for name in OBJECTIVES if name != "task_gap"}
    with pytest.raises(ValueError, match=r"heads must hold task_gap, got iou_tiny, "):
        measures_of(evidence_of(heads, "tiny"))


def test_a_missing_entropy_is_named() -> None:
    scores = random_scores(0)
    del scores.arrays["best"]["h_xp"]  # type: ignore[attr-defined]
    with pytest.raises(
        ValueError, match=r"entropies and agreements must hold h_xp, got h_y, h_theta, h_a, "
    ):
        measures_of(Evidence("tiny", "best", scores))


def test_rows_have_names_and_symbols_of_their_own_and_colours() -> None:
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
    assert len({measure.symbol for measure in MEASURES}) == len(MEASURES)
    for measure in MEASURES:
        assert re.fullmatch("#[0-9a-f]{6}", measure.colour)
        assert set(measure.tasks) <= set(TASKS)
        assert measure.meaning


def test_each_task_has_a_ranking_of_its_gallery_with_and_without_heads() -> None:
    for task, (*trained, untrained) in GALLERY_MEASURES.items():
        assert [BY_NAME[name].heads for name in trained] == list(KINDS)
        assert untrained in UNTRAINED_MEASURES
        assert {*trained, untrained} <= set(TASK_MEASURES[task])
