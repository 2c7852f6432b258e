"""What each measure is made of, and that larger is always more uncertain."""

import re
from dataclasses import replace

import numpy as np
import pytest

from pipeline.heads.kinds import KINDS, HeadSet
from pipeline.mask_statistics import AGREEMENTS, ENTROPIES, MASK_SCORES
from pipeline.proposals import ProposalScores
from pipeline.scoring.evidence import Evidence, Heads, ModelScores
from pipeline.scoring.measures import (
    BY_NAME,
    GALLERY_MEASURES,
    HEAD_MEASURES,
    MEASURES,
    OF_KIND,
    TASK_MEASURES,
    UNTRAINED_MEASURES,
)
from pipeline.scoring.tasks import JudgedMasks, measures_of
from pipeline.vocabulary import JUDGED, TASKS, protocol_objectives
from tests.fixtures.mini import MODELS, OBJECTIVES
from tests.fixtures.model_scores import TRAIN_SPLITS, random_scores

AGREEMENT_NAMES = [*(row.name for row in AGREEMENTS), *(score.name for score in MASK_SCORES)]


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def scores_of_two_objects() -> ModelScores:
    return ModelScores(
        proposals=ProposalScores(
            iou=np.array([[0.2, 0.9, 0.4], [0.5, 0.3, 0.1]], dtype=np.float32),
            sam_score=np.array([[0.7, 0.6, 0.1], [0.8, 0.8, 0.2]], dtype=np.float32),
            refined_iou=np.array([[0.3, 0.3, 0.95], [0.6, 0.1, 0.2]], dtype=np.float32),
            refined_sam_score=np.array([[0.3, 0.4, 0.4], [0.5, 0.1, 0.9]], dtype=np.float32),
        ),
        entropies={
            judged: {
                name: column(i, i + 0.5) / 32
                for i, name in enumerate([*(e.name for e in ENTROPIES), "h_other"], start)
            }
            for start, judged in zip((0, 8), JUDGED, strict=True)
        },
        agreements={
            judged: {name: column(i, i + 0.5) / 64 for i, name in enumerate(AGREEMENT_NAMES, start)}
            for start, judged in zip((16, 24), JUDGED, strict=True)
        },
        predictions={
            HeadSet("best", tokens): {
                split: {name: column(i / 20, 0.5) for i, name in enumerate(OBJECTIVES, start)}
                for start, split in enumerate(("coco_train", "davis_train"), first)
            }
            for first, tokens in enumerate(JUDGED)
        },
        largest=ProposalScores(
            iou=np.array([[0.2, 0.9, 0.4], [0.5, 0.3, 0.6]], dtype=np.float32),
            sam_score=np.array([[0.7, 0.5, 0.1], [0.9, 0.8, 0.2]], dtype=np.float32),
            refined_iou=np.zeros((2, 3), np.float32),
            refined_sam_score=np.zeros((2, 3), np.float32),
        ),
        models=MODELS,
    )


def evidence_of(
    predictions: dict[str, np.ndarray], model: str, *, protocol: str = "best"
) -> Evidence:
    """Heads, and anything else."""
    (n_objects,) = {len(values) for values in predictions.values()}
    return random_scores(0, n_objects).evidence(model, protocol, Heads(protocol, predictions))


def test_the_judged_proposal_is_the_highest_and_of_equals_the_first() -> None:
    scores = scores_of_two_objects().proposals
    np.testing.assert_array_equal(scores.judged_iou("best"), column(0.9, 0.5))
    np.testing.assert_array_equal(scores.judged_iou("selected"), column(0.2, 0.5))
    np.testing.assert_array_equal(scores.judged_refined_iou("best"), column(0.95, 0.6))
    np.testing.assert_array_equal(scores.judged_refined_iou("selected"), column(0.3, 0.2))
    np.testing.assert_array_equal(scores.judged_sam_score("best"), column(0.6, 0.8))
    np.testing.assert_array_equal(scores.judged_sam_score("selected"), column(0.7, 0.8))


@pytest.mark.parametrize(("judged", "sam_score"), [("best", [0.4, 0.2]), ("selected", [0.3, 0.2])])
def test_untrained_measures_are_of_the_judged_proposal(judged: str, sam_score: list[float]) -> None:
    scores = scores_of_two_objects()
    measures = measures_of(scores.evidence("tiny", judged))
    assert measures.pop("sam_score") == pytest.approx(sam_score)
    # Where the selected proposal is judged, its SamScore is the highest.
    highest = measures.pop("sam_score_highest", None)
    assert (highest is None) == (judged == "selected")
    assert highest is None or highest == pytest.approx([0.3, 0.2])
    largest = {"best": [0.5, 0.2], "selected": [0.7, 0.9]}[judged]
    own = 1 - np.array(sam_score)
    assert measures.pop("sam_score_largest") == pytest.approx(1 - np.array(largest))
    assert measures.pop("sam_score_gain") == pytest.approx(largest - own)
    for name in measures.keys() & scores.entropies[judged].keys():
        np.testing.assert_array_equal(measures[name], scores.entropies[judged][name])
    for name, value in scores.agreements[judged].items():
        np.testing.assert_array_equal(measures[name], 1 - value.astype(np.float64))
    assert {entropy.name for entropy in ENTROPIES} <= set(measures)


@pytest.mark.parametrize("protocol", ["best", "selected"])
@pytest.mark.parametrize("model", MODELS)
def test_head_measures_follow_their_formulas(model: str, protocol: str) -> None:
    rng = np.random.default_rng(0)
    names = protocol_objectives(protocol, MODELS)
    heads = {name: rng.random(5, dtype=np.float32) for name in names}
    measures = measures_of(evidence_of(heads, model, protocol=protocol))
    assert tuple(measures) == OF_KIND["paper"]
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
        *(("", name) for name in UNTRAINED_MEASURES),
        *((split, name) for split in TRAIN_SPLITS for name in HEAD_MEASURES),
    ]
    assert all(values.dtype == np.float64 for values in measures.values())
    first, second = (measures[split, "usam"] for split in TRAIN_SPLITS)
    assert first != pytest.approx(second)


@pytest.mark.parametrize(
    ("protocol", "judged"), [("best", "best"), ("best", "selected"), ("selected", "selected")]
)
def test_heads_are_of_the_protocol_and_read_the_tokens_of_the_judged_proposal(
    protocol: str, judged: str
) -> None:
    scores = random_scores(0)
    measures = JudgedMasks(protocol, judged, "small", scores).measures
    heads = scores.predictions[HeadSet(protocol, judged)]["davis_train"]
    np.testing.assert_array_equal(
        measures["davis_train", "delta_xp_star"], heads["prompt_gap"].astype(np.float64) - 0.5
    )
    np.testing.assert_array_equal(
        measures["", "h_t"], scores.entropies[judged]["h_t"].astype(np.float64)
    )


def test_every_measure_has_those_of_ablated_tokens_and_of_no_other_proposal() -> None:
    scores = random_scores(0, ablations=("no_iou",))
    measures = JudgedMasks("best", "best", "small", scores).measures_of_tokens
    assert {tokens for _, tokens, _ in measures} == {"", "best", "best_no_iou"}
    heads = scores.predictions[HeadSet("best", "best_no_iou")]["davis_train"]
    expected = measures_of(scores.evidence("small", "best", Heads("best", heads)))
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


def test_without_another_model_there_is_no_score_of_the_largest() -> None:
    alone = replace(scores_of_two_objects().evidence("tiny", "best"), largest=None)
    with pytest.raises(ValueError, match="must be those of the largest model, got tiny's"):
        BY_NAME["sam_score_gain"].compute(alone)


def test_a_missing_entropy_is_named() -> None:
    scores = scores_of_two_objects()
    del scores.entropies["best"]["h_xp"]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"entropies must hold h_xp, got h_y, h_theta, h_a, "):
        measures_of(scores.evidence("tiny", "best"))


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


def test_a_shared_measure_is_the_largest_models_or_that_of_a_shared_entropy_or_agreement() -> None:
    shared = {row.name for row in (*ENTROPIES, *AGREEMENTS) if row.is_shared}
    assert {measure.name for measure in MEASURES if measure.is_shared} == {
        "sam_score_largest",
        *shared,
    }
