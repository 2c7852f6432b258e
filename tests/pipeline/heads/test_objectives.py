from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.heads.kinds import CUT_OBJECTIVES, HeadSet
from pipeline.heads.objectives import (
    sample_by_group,
    split_by_group,
    targets,
    training_set,
)
from pipeline.heads.predict import set_inputs
from pipeline.proposals import ProposalScores
from pipeline.vocabulary import PROTOCOLS, TOKEN_SETS, objectives_of
from tests.fixtures.mini import MODELS, OBJECTIVES

CENTER, REFINED = 0, 1


def draw_model(seed: int, n_objects: int = 6) -> ProposalScores:
    rng = np.random.default_rng(seed)
    sam_score, iou = rng.random((2, n_objects, 2, 3)).astype(np.float32)
    iou_at_cut = rng.random((n_objects, 3, 9)).astype(np.float32)
    return ProposalScores(iou[:, 0], sam_score[:, 0], iou[:, 1], sam_score[:, 1], iou_at_cut)


def draw_models(n_objects: int = 6) -> dict[str, ProposalScores]:
    return {model: draw_model(i, n_objects) for i, model in enumerate(MODELS)}


def draw_inputs(n_objects: int) -> np.ndarray:
    shape = (1, len(MODELS), n_objects, 10)
    return np.random.default_rng(9).normal(size=shape).astype(np.float32)


def slow_targets(models: dict[str, ProposalScores], protocol: str) -> dict[str, list[float]]:
    """Every target by its sentence in the design, one object at a time."""

    def best(one: ProposalScores, k: int, prompt: int) -> float:
        return float(max((one.iou, one.refined_iou)[prompt][k]))

    def selected(one: ProposalScores, k: int, prompt: int) -> float:
        iou, sam_score = (
            (one.iou, one.sam_score),
            (one.refined_iou, one.refined_sam_score),
        )[prompt]
        return float(iou[k, int(np.argmax(sam_score[k]))])

    judged = {"best": best, "selected": selected}[protocol]
    rows: dict[str, list[float]] = {name: [] for name in OBJECTIVES}
    for own in models.values():
        for k in range(len(own.iou)):
            mask = {name: judged(m, k, CENTER) for name, m in models.items()}
            gaps = {
                "model_gap": mask["large"] - mask["tiny"],
                "prompt_gap": judged(own, k, REFINED) - judged(own, k, CENTER),
                "task_gap": best(own, k, CENTER) - selected(own, k, CENTER),
            }
            values = {f"iou_{name}": iou for name, iou in mask.items()}
            values |= {"iou_refined": judged(own, k, REFINED)}
            values |= {"iou_best": best(own, k, CENTER), "iou_selected": selected(own, k, CENTER)}
            values |= {name: min(max(0.5 + gap, 0), 1) for name, gap in gaps.items()}
            for name in OBJECTIVES:
                rows[name].append(values[name])
    return rows


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_targets_equal_their_definitions(protocol: str) -> None:
    models = draw_models()
    expected = slow_targets(models, protocol)
    found = targets(models, HeadSet(protocol, protocol))
    assert tuple(found) == OBJECTIVES
    for name in OBJECTIVES:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("best", [[-1, -1, -1, 9, 10, 11], [-1, -1, -1, 15, 16, 17]]),
        ("selected", [[-1, -1, -1, 3, 4, 5], [-1, -1, -1, 21, 22, 23]]),
        ("best_no_mask", [[-1, -1, -1, 0, 0, 0], [-1, -1, -1, 0, 0, 0]]),
        ("best_no_iou", [[0, 0, 0, 9, 10, 11], [0, 0, 0, 15, 16, 17]]),
        ("selected_no_iou", [[0, 0, 0, 3, 4, 5], [0, 0, 0, 21, 22, 23]]),
    ],
)
def test_inputs_of_heads_join_the_iou_token_with_the_mask_token_of_a_proposal(
    tokens: str, expected: list[list[float]]
) -> None:
    seen = {
        "iou_token": -np.ones((2, 3), np.float32),
        "mask_token": np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3),
        "iou": np.array([[0.1, 0.2, 0.9], [0.5, 0.2, 0.1]], np.float32),
        "sam_score": np.array([[0.8, 0.8, 0.1], [0.5, 0.2, 0.6]], np.float32),
    }
    inputs = set_inputs(seen, HeadSet("best", tokens))
    np.testing.assert_array_equal(inputs, expected)
    assert inputs.dtype == np.float32


def test_an_unknown_token_set_is_named_with_those_there_are() -> None:
    scores = np.zeros((1, 3), np.float32)
    with pytest.raises(ValueError, match=rf"one of {', '.join(TOKEN_SETS)}, got 'worst'"):
        set_inputs({"iou": scores, "sam_score": scores}, HeadSet("best", "worst"))


def test_training_set_holds_of_each_prompt_set_all_objects_of_a_model_then_of_the_next() -> None:
    first, second = draw_models(3), {name: draw_model(9 + i, 3) for i, name in enumerate(MODELS)}
    inputs = np.concatenate([draw_inputs(3), 1 + draw_inputs(3)])
    group = np.array([4, 4, 9])
    data = training_set(inputs, [first, second], group, head_set=HeadSet("best", "best"))
    assert np.shares_memory(data.inputs, inputs)
    np.testing.assert_array_equal(data.group, [*group] * 8)
    for prompt, models in enumerate((first, second)):
        rows = slice(12 * prompt + 3, 12 * prompt + 6)
        np.testing.assert_array_equal(data.inputs[rows], inputs[prompt, MODELS.index("small")])
        np.testing.assert_array_equal(
            data.targets["iou_refined"][rows], models["small"].refined_iou.max(axis=1)
        )


def test_heads_that_choose_masks_judge_each_proposal_as_if_it_were_selected() -> None:
    models, head_set = draw_models(), HeadSet("selected", "selected", "ours")
    found = targets(models, head_set)
    assert tuple(found) == (*OBJECTIVES, *CUT_OBJECTIVES)
    for proposal in range(3):
        for place, (model, scores) in enumerate(models.items()):
            rows = slice(18 * place + proposal, 18 * (place + 1), 3)
            # As if the decoder had given this proposal the highest score.
            sam_score = np.eye(3, dtype=np.float32)[[proposal] * 6]
            alike = replace(scores, sam_score=sam_score)
            expected = targets(models | {model: alike}, HeadSet("selected", "selected"))
            for name in OBJECTIVES:
                of_model = expected[name][6 * place : 6 * (place + 1)]
                np.testing.assert_array_equal(found[name][rows], of_model, err_msg=name)
            assert scores.iou_at_cut is not None
            for cut, name in enumerate(CUT_OBJECTIVES):
                of_cut = scores.iou_at_cut[:, proposal, cut]
                np.testing.assert_array_equal(found[name][rows], of_cut)


def test_heads_of_two_models_learn_the_gap_between_these() -> None:
    models = {name: draw_models()[name] for name in ("small", "large")}
    found = targets(models, HeadSet("selected", "selected"))
    assert tuple(found) == objectives_of(["small", "large"])
    gain = models["large"].judged_iou("selected") - models["small"].judged_iou("selected")
    np.testing.assert_array_equal(found["model_gap"], np.tile((0.5 + gain).clip(0, 1), 2))


def test_heads_of_one_model_learn_no_gap_between_models() -> None:
    found = targets({"tiny": draw_model(0)}, HeadSet("selected", "selected"))
    assert tuple(found) == objectives_of(["tiny"])
    assert {*found} == {*OBJECTIVES} - {"iou_small", "iou_base_plus", "iou_large", "model_gap"}


@given(
    objects=st.lists(st.integers(0, 20), min_size=2, max_size=60).filter(lambda x: len(set(x)) > 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_group_has_rows_on_both_sides_and_every_row_is_on_one(
    objects: list[int], seed: int
) -> None:
    group = np.tile(objects, 4)
    train, validation = split_by_group(group, seed)
    assert not set(group[train]) & set(group[validation])
    np.testing.assert_array_equal(np.sort([*train, *validation]), np.arange(len(group)))
    assert len(train)
    assert len(validation)


def test_a_fifth_of_the_groups_validates_and_the_seed_chooses_which() -> None:
    group = np.repeat(np.arange(100), 3)
    _, validation = split_by_group(group, 0)
    assert len(np.unique(group[validation])) == 20
    np.testing.assert_array_equal(validation, split_by_group(group, 0)[1])
    assert set(validation) != set(split_by_group(group, 1)[1])


@given(
    objects=st.lists(st.integers(0, 20), min_size=1, max_size=60),
    max_rows=st.integers(0, 260),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_sample_takes_whole_groups_as_long_as_they_fit(
    objects: list[int], max_rows: int, seed: int
) -> None:
    group = np.tile(objects, 4)
    rows = sample_by_group(group, max_rows, seed)
    np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(group, group[rows])))
    n_left_out = len(group) - len(rows)
    assert len(rows) <= max_rows
    assert (n_left_out == 0) == (max_rows >= len(group))
    largest = np.unique(group, return_counts=True)[1].max()
    assert n_left_out == 0 or len(rows) > max_rows - largest


def test_the_seed_chooses_the_groups_of_a_sample() -> None:
    group = np.tile(np.arange(100), 4)
    rows = sample_by_group(group, 80, 0)
    assert len(rows) == 80
    np.testing.assert_array_equal(rows, sample_by_group(group, 80, 0))
    assert set(rows) != set(sample_by_group(group, 80, 1))


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="must have at least 2 images or videos, got 1"):
        split_by_group(np.zeros(8, np.int64), 0)
