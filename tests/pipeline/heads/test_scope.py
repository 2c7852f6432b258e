"""What the scope of heads and guarantees allows to say about a mask."""

import re
from dataclasses import replace

import pytest

from pipeline.heads.scope import (
    BEST_OF_THREE,
    CHOOSES_NOTHING,
    DRAWN_ONLY,
    DRAWN_SHAPES,
    OF_SETS,
    OUT_OF_DISTRIBUTION,
    UNTESTED_CHOICE,
    CalibratedGuarantee,
    ChoiceGain,
    Scope,
    permitted,
)

SELECTED = Scope("selected", ("center", "refined"), None, images="")

OF_CLICKS = CalibratedGuarantee(
    Scope("selected", ("center",), 40, images=""),
    split="shapes_val",
    model="tiny",
    measure="usam_ours",
    train_split="shapes_train",
    of="kept",
    iou_at_least=0.8,
    alpha=0.1,
    confidence=0.9,
    threshold=0.25,
    kept=0.5,
    n_objects=280,
)
NEAR = replace(OF_CLICKS, scope=replace(SELECTED, prompts=("near",)), threshold=0.125)
SETS = replace(OF_CLICKS, of=OF_SETS, threshold=0.5)
SETS_NEAR = replace(NEAR, of=OF_SETS, threshold=0.375)


@pytest.mark.parametrize(
    ("prompts", "limit", "least_doubt"),
    [
        ({"center", "near"}, 0.125, 0.375),
        ({"center"}, 0.25, 0.5),
        ({"box"}, None, None),
        ((), None, None),
    ],
    ids=["a click", "the first click", "a box", "a grid"],
)
def test_a_guarantee_holds_for_its_own_prompts_the_strictest_for_a_click(
    prompts: set[str], limit: float | None, least_doubt: float | None
) -> None:
    # A user does not know the best mask: a guarantee about best masks says nothing, however strict.
    of_best = replace(
        OF_CLICKS, scope=Scope("best", ("center", "near", "box"), 40, ""), threshold=0.0
    )
    every = [OF_CLICKS, NEAR, SETS, SETS_NEAR, of_best]
    permission = permitted(SELECTED, every, prompts, unlike_training=None)
    assert permission.least_doubt == least_doubt
    assert permission.keeps(1.0) is (None if limit is None else True)
    if limit is not None:
        assert permission.keeps(1 - limit) is True
        assert permission.keeps(0.999 - limit) is False
    assert permission.advises
    assert permission.compares_proposals
    assert permission.caution == ""


def test_of_an_image_unlike_training_nothing_is_advised_or_guaranteed() -> None:
    at_limit = permitted(SELECTED, [OF_CLICKS], {"center"}, unlike_training=OUT_OF_DISTRIBUTION)
    assert at_limit.advises
    assert at_limit.keeps(0.75) is True
    unlike = permitted(SELECTED, [OF_CLICKS, SETS], {"center"}, unlike_training=0.99)
    assert (unlike.advises, unlike.keeps(1.0), unlike.least_doubt) == (False, None, None)
    assert "unlike what these heads learned from (further than 99.0% of it)" in unlike.caution


CLICK = ChoiceGain("center", gain=0.02, low=0.01, high=0.03, excess=0.03, n_images=48)
BOX = replace(CLICK, prompt="box", low=-0.01)
NEAR_CLICK = replace(CLICK, prompt="near", low=0.005)


@pytest.mark.parametrize(
    ("choices", "prompts", "unlike_training", "choice", "reason"),
    [
        ([CLICK, BOX], {"center", "near"}, 0.5, CLICK, ""),
        ([CLICK, NEAR_CLICK], {"center", "near"}, None, NEAR_CLICK, ""),
        ([CLICK, BOX], {"box"}, None, None, r"gained no sure .*: \+0.020 \(-0.010 to \+0.030\)"),
        ([CLICK], {"box"}, None, None, UNTESTED_CHOICE),
        ([CLICK], (), None, None, UNTESTED_CHOICE),
        ([CLICK], {"center"}, 0.99, None, "unlike the training images"),
        ([], {"center"}, None, None, CHOOSES_NOTHING),
    ],
    ids=["a click", "the least sure", "unsure", "a box", "a grid", "an unlike image", "no choice"],
)
def test_a_choice_is_offered_where_it_gained_on_held_out_images(
    choices: list[ChoiceGain],
    prompts: set[str],
    unlike_training: float | None,
    choice: ChoiceGain | None,
    reason: str,
) -> None:
    found = permitted(SELECTED, [], prompts, unlike_training=unlike_training, choices=choices)
    assert found.choice == choice
    assert re.search(reason, found.no_choice)
    assert bool(found.no_choice) == (choice is None)


def test_heads_of_best_masks_compare_no_proposals_and_say_so() -> None:
    permission = permitted(replace(SELECTED, protocol="best"), [], {"center"}, unlike_training=0.5)
    assert not permission.compares_proposals
    assert permission.caution == BEST_OF_THREE


def test_a_like_image_is_not_called_safe_by_heads_of_drawn_shapes() -> None:
    drawn = replace(SELECTED, images=DRAWN_SHAPES)
    permission = permitted(
        drawn, [], {"center"}, unlike_training=0.1, prompt_caution="this prompt has a mask"
    )
    assert permission.caution == f"{DRAWN_ONLY}; this prompt has a mask"
    assert permission.holds_for == DRAWN_SHAPES
    unknown = permitted(SELECTED, [], {"center"}, unlike_training=0.1)
    assert unknown.holds_for == ""
