"""The table of prompt sets: the method's first, each with calls that no other changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.prompt_kinds import (
    EXTRA_PROMPTS,
    PROMPT_KINDS,
    PromptError,
    PromptKind,
    calls_of,
    with_extra,
)
from pipeline.vocabulary import NEAR_CLICKS, PROMPTS, SINGLE_CLICKS, TRAIN_PROMPTS

NAMES = tuple(kind.name for kind in PROMPT_KINDS)

CLICKS = np.arange(16).reshape(8, 2) // 2

MASK = np.zeros((9, 12), bool)
MASK[2:5, 3:11] = True
MASK[7, 4] = True


def test_the_method_s_come_first_and_each_name_once() -> None:
    assert (*PROMPTS, "box", "corrected", *NEAR_CLICKS) == NAMES
    assert EXTRA_PROMPTS == ("box", "corrected", "near")


@pytest.mark.parametrize("labels", [(), (4,), (2,), (3, 2), (2, 3, 2, 3)], ids=str)
def test_labels_are_clicks_or_the_corners_of_one_box(labels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^labels of prompt set odd must be some of") as refused:
        PromptKind("odd", "", lambda clicks, _: clicks, labels=labels)
    assert str(refused.value).endswith(f", got {labels}")


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (CLICKS[:2], r"have the shape \(1, 2\), got \(2, 2\)"),
        (CLICKS[0], r"have the shape \(1, 2\), got \(2,\)"),
        (CLICKS[:0], r"have the shape \(1, 2\), got \(0, 2\)"),
        (np.array([[3, 10]]), "lie in the image of 12 x 9 px, got 3,10"),
        (np.array([[np.nan, 1]]), "lie in the image of 12 x 9 px, got nan,1"),
    ],
)
def test_points_are_as_many_as_labels_and_in_the_image(points: np.ndarray, message: str) -> None:
    kind = PromptKind("odd", "", lambda *_: points)
    with pytest.raises(PromptError, match=f"^points of prompt set odd must {message}$"):
        kind.points_of(CLICKS, MASK)


def test_the_points_are_those_of_the_name() -> None:
    found = {kind.name: kind.points(CLICKS, MASK).tolist() for kind in PROMPT_KINDS}
    assert [found[name] for name in SINGLE_CLICKS] == [[click] for click in CLICKS.tolist()]
    assert found["refined"] == CLICKS.tolist()
    assert found["box"] == [[3, 2], [10, 7]]


def test_the_order_of_extra_ones_is_that_of_the_table() -> None:
    assert with_extra(()) == PROMPTS
    assert with_extra(EXTRA_PROMPTS[::-1]) == NAMES
    assert with_extra(["corrected", "box"], TRAIN_PROMPTS) == (*TRAIN_PROMPTS, "box", "corrected")


@given(st.sets(st.sampled_from(EXTRA_PROMPTS)))
def test_extra_ones_change_the_calls_of_no_other(extra: set[str]) -> None:
    asked = with_extra(extra)
    own = calls_of(PROMPTS)
    assert calls_of(asked)[: len(own)] == own
    assert [kind.name for call in calls_of(asked) for kind in call] == list(asked)


def moved(clicks: np.ndarray, mask: np.ndarray) -> np.ndarray:
    kinds = [kind for kind in PROMPT_KINDS if kind.name in NEAR_CLICKS]
    return np.concatenate([kind.points_of(clicks, mask) for kind in kinds])


@given(st.integers(0, 639), st.integers(0, 479), st.integers(0, 9))
def test_moved_clicks_stay_near_the_first_and_in_the_image(x: int, y: int, seed: int) -> None:
    clicks = np.random.default_rng(seed).integers(0, 480, (8, 2))
    clicks[0] = x, y
    found = moved(clicks, np.ones((480, 640), bool))
    # 20 px of 1024, on either axis.
    assert (np.abs(found - [x, y]) <= [12, 9]).all()
    assert ((found >= 0) & (found < [640, 480])).all()
    assert len({*map(tuple, found)}) > 1


def test_moved_clicks_reach_their_bound_and_differ_from_object_to_object() -> None:
    mask, clicks = np.ones((256, 256), bool), np.full((8, 2), 100)
    offsets = []
    for other in range(200):
        clicks[1:] = other
        offsets.append(moved(clicks, mask) - 100)
    assert np.abs(np.array(offsets)).max(axis=(0, 1)).tolist() == [5, 5]
    assert np.array(offsets).min() == -5
    assert len({one.tobytes() for one in offsets}) == 200


def test_moved_clicks_share_their_calls() -> None:
    asked = with_extra(["near", "box"])
    assert asked == (*PROMPTS, "box", *NEAR_CLICKS)
    assert with_extra([], TRAIN_PROMPTS) == TRAIN_PROMPTS
    assert [kind.name for kind in calls_of(asked)[-1]] == list(NEAR_CLICKS)


def test_a_click_alone_is_not_in_the_calls_of_eight() -> None:
    (center, refined), whole = calls_of(TRAIN_PROMPTS), calls_of(PROMPTS)
    assert center not in whole
    assert refined in whole
