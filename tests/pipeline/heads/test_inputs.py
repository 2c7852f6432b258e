"""What heads read of a prediction."""

import math

import numpy as np
import pytest

from pipeline.heads.kinds import HEAD_KINDS, HeadSet, head_sets
from pipeline.heads.predict import INPUT_ARRAYS, N_MASK_STATISTICS, set_inputs
from pipeline.vocabulary import OWN_ABLATIONS

OURS = HeadSet("selected", "selected", "ours")

ARRAYS = {
    "iou_token": np.array([[1, 2]], np.float32),
    "mask_token": np.arange(8, dtype=np.float32).reshape(1, 4, 2),
    "iou": np.array([[0.9, 0.2, 0.1]], np.float32),
    "sam_score": np.array([[0.3, 0.5, 0.4]], np.float32),
    "object_score": np.array([7], np.float32),
    "area": np.array([[0.1, 0.2, 0.3]], np.float32),
    "mask_entropy": np.array([[0.01, 0.02, 0.03]], np.float32),
    "confidence": np.array([[0.91, 0.92, 0.93]], np.float32),
    "agreement": np.array([[0.5, 0.6, 0.7]], np.float32),
    "encoder_mean": np.array([[0.2, -3]], np.float32),
    "encoder_std": np.array([[5, 0.1]], np.float32),
}
"""An object: the best proposal is 0, the selected one 1."""

IMAGE = [0.2, -3, 5, 0.1]

PAIRS = {frozenset({0, 1}): 0.5, frozenset({0, 2}): 0.6, frozenset({1, 2}): 0.7}


def figures(order: tuple[int, int, int]) -> list[float]:
    """The figures of the object with its proposals in an order, and of the image."""
    score, area = ([float(ARRAYS[name][0, k]) for k in order] for name in ("sam_score", "area"))
    first, second, third = order
    return [
        *score,
        *(math.log(p / (1 - p)) for p in score),
        *area,
        *(math.log(a + 1e-4) for a in area),
        *(float(ARRAYS["mask_entropy"][0, k]) for k in order),
        *(float(ARRAYS["confidence"][0, k]) for k in order),
        PAIRS[frozenset({first, second})],
        PAIRS[frozenset({first, third})],
        PAIRS[frozenset({second, third})],
        7,
        *IMAGE,
    ]


@pytest.mark.parametrize(
    ("tokens", "order", "mask_token"),
    [("selected", (1, 2, 0), [4, 5]), ("best", (0, 1, 2), [2, 3])],
)
def test_the_judged_proposal_comes_first_and_the_others_by_their_scores(
    tokens: str, order: tuple[int, int, int], mask_token: list[float]
) -> None:
    found = set_inputs(ARRAYS, HeadSet(tokens, tokens, "ours"))
    np.testing.assert_allclose(found[0], [1, 2, *mask_token, *figures(order)], rtol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.parametrize(("judged", "order"), [(0, (0, 1, 2)), (2, (2, 1, 0))])
def test_any_proposal_may_count_as_the_judged_one(judged: int, order: tuple[int, int, int]) -> None:
    found = set_inputs(ARRAYS, OURS, judged=np.array([judged]))
    mask_token = ARRAYS["mask_token"][0, judged + 1]
    np.testing.assert_allclose(found[0], [1, 2, *mask_token, *figures(order)], rtol=1e-5)


@pytest.mark.parametrize("head_set", head_sets(("no_mask", "no_iou"), kinds=("paper",)), ids=str)
def test_the_papers_heads_read_tokens_alone(head_set: HeadSet) -> None:
    tokens = {name: ARRAYS[name] for name in ("iou_token", "mask_token", "iou", "sam_score")}
    np.testing.assert_array_equal(set_inputs(ARRAYS, head_set), set_inputs(tokens, head_set))


@pytest.mark.parametrize("ablation", OWN_ABLATIONS)
def test_zeros_replace_the_ablated_inputs_of_our_heads(ablation: str) -> None:
    (ablated,), (whole,) = (
        set_inputs(ARRAYS, HeadSet("selected", tokens, "ours"))
        for tokens in (f"selected_{ablation}", "selected")
    )
    n_of_masks = len(whole) - len(IMAGE)
    n_tokens = n_of_masks - N_MASK_STATISTICS
    is_ablated = (np.arange(n_of_masks) < n_tokens) == (ablation != "no_statistics")
    expected = np.append(np.where(is_ablated, 0, whole[:n_of_masks]), whole[n_of_masks:])
    np.testing.assert_array_equal(ablated, expected)


def test_scores_of_0_and_1_have_finite_logits() -> None:
    none, full = np.zeros((1, 3), np.float32), np.array([[0, 1, 1]], np.float32)
    arrays = ARRAYS | {"sam_score": full, "area": none}
    assert np.isfinite(set_inputs(arrays, OURS)).all()


def test_kinds_read_what_the_cache_holds() -> None:
    assert set(INPUT_ARRAYS) == set(ARRAYS)
    for kind in HEAD_KINDS:
        assert len(set_inputs(ARRAYS, HeadSet("best", "best", kind.name))) == 1
