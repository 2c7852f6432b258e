"""The table of prompt sets: the method's first, each with calls that no other changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.prompt_kinds import (
    BOX,
    EXTRA_PROMPTS,
    PROMPT_KINDS,
    PromptKind,
    bounding_box,
    calls_of,
    same_calls,
    with_extra,
)
from pipeline.vocabulary import PROMPTS, SINGLE_CLICKS, TRAIN_PROMPTS

NAMES = tuple(kind.name for kind in PROMPT_KINDS)

CLICKS = np.arange(16).reshape(8, 2)

MASK = np.zeros((9, 12), bool)
MASK[2:5, 3:11] = True
MASK[7, 4] = True


def test_the_method_s_come_first_and_each_name_once() -> None:
    assert (*PROMPTS, *EXTRA_PROMPTS) == NAMES
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("kind", PROMPT_KINDS, ids=NAMES)
def test_there_is_a_label_for_each_point(kind: PromptKind) -> None:
    points = kind.points(CLICKS, MASK)
    assert points.shape == (len(kind.labels), 2)
    assert set(kind.labels) <= {0, 1, *BOX}


@pytest.mark.parametrize("calls", calls_of(NAMES))
def test_prompt_sets_of_a_call_have_as_many_points(calls: list[PromptKind]) -> None:
    assert len({len(kind.labels) for kind in calls}) == 1


def test_the_points_are_those_of_the_name() -> None:
    found = {kind.name: kind.points(CLICKS, MASK).tolist() for kind in PROMPT_KINDS}
    assert [found[name] for name in SINGLE_CLICKS] == [[click] for click in CLICKS.tolist()]
    assert found["refined"] == CLICKS.tolist()
    assert found["box"] == [[3, 2], [10, 7]]


def test_a_box_of_one_pixel_has_both_corners_there() -> None:
    assert bounding_box(np.eye(1, dtype=bool)).tolist() == [[0, 0], [0, 0]]


def test_the_method_alone_has_two_kinds_of_calls() -> None:
    assert [[kind.name for kind in call] for call in calls_of(PROMPTS)] == [
        list(SINGLE_CLICKS),
        ["refined"],
    ]


def test_the_order_of_extra_ones_is_that_of_the_table() -> None:
    assert with_extra(()) == PROMPTS
    assert with_extra(EXTRA_PROMPTS[::-1]) == NAMES


@given(st.sets(st.sampled_from(EXTRA_PROMPTS)))
def test_extra_ones_change_the_calls_of_no_other(extra: set[str]) -> None:
    asked = with_extra(extra)
    assert same_calls(PROMPTS, asked) == PROMPTS
    assert same_calls(asked, PROMPTS) == PROMPTS
    assert same_calls(asked, asked) == asked


def test_a_click_alone_is_not_in_the_calls_of_eight() -> None:
    assert same_calls(TRAIN_PROMPTS, PROMPTS) == ("refined",)
    assert same_calls(PROMPTS, TRAIN_PROMPTS) == ("refined",)
