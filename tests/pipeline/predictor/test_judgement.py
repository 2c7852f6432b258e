"""What the scope of heads and guarantees allows to say about a mask."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.heads.kinds import HeadSet
from pipeline.heads.scope import (
    BEST_OF_THREE,
    DRAWN_ONLY,
    DRAWN_SHAPES,
    OF_SETS,
    OUT_OF_DISTRIBUTION,
    CalibratedGuarantee,
    ChoiceGain,
    Scope,
)
from pipeline.predictor.advice import KEEP, NONE, Advice, Costs
from pipeline.predictor.judgement import (
    CHOOSES_NOTHING,
    UNTESTED_CHOICE,
    Permission,
    decide,
    permitted,
)
from pipeline.predictor.proposal_heads import ProposalHeads
from pipeline.scoring.evidence import head_predictions
from tests.fixtures.mini import MODELS
from tests.fixtures.predictors import CHOICE_GAIN, random_heads


def heads(protocol: str = "selected", **changes: Any) -> ProposalHeads:  # noqa: ANN401
    return replace(random_heads(protocol=protocol), **changes)


def decided(
    permission: Permission, own_iou: float, protocol: str = "selected"
) -> tuple[Advice, bool | None]:
    """What is said of a mask of an expected IoU that no correction improves."""
    objectives = (*(f"iou_{model}" for model in MODELS), "iou_refined", "iou_best", "iou_selected")
    values = dict.fromkeys(objectives, own_iou) | dict.fromkeys(GAPS, 0.5)
    arrays = {name: np.array([value]) for name, value in values.items()}
    predictions = head_predictions(arrays, HeadSet(protocol, "selected"), "tiny", models=MODELS)
    return decide(predictions, 0, Costs(person=1.0), permission=permission)


GAPS = ("model_gap", "prompt_gap", "task_gap")

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
NEAR = replace(OF_CLICKS, scope=Scope("selected", ("near",), 40, images=""), threshold=0.125)
SETS = replace(OF_CLICKS, of=OF_SETS, threshold=0.5)
SETS_NEAR = replace(NEAR, of=OF_SETS, threshold=0.375)


@pytest.mark.parametrize(
    ("prompts", "limit", "of_sets"),
    [
        ({"center", "near"}, 0.125, 0.375),
        ({"center"}, 0.25, 0.5),
        ({"box"}, None, None),
        ((), None, None),
    ],
    ids=["a click", "the first click", "a box", "a grid"],
)
def test_a_guarantee_holds_for_its_own_prompts_the_strictest_for_a_click(
    prompts: set[str], limit: float | None, of_sets: float | None
) -> None:
    # A user does not know the best mask: a guarantee about best masks says nothing, however strict.
    of_best = replace(
        OF_CLICKS, scope=Scope("best", ("center", "near", "box"), 40, ""), threshold=0.0
    )
    every = (OF_CLICKS, NEAR, SETS, SETS_NEAR, of_best)
    permission = permitted(heads(guarantees=every), prompts, unlike_training=None)
    sets = permission.about_sets
    assert (sets and sets.threshold) == of_sets
    assert decided(permission, 1.0)[1] is (None if limit is None else True)
    if limit is not None:
        assert decided(permission, 1 - limit)[1] is True
        assert decided(permission, 0.999 - limit)[1] is False
    assert permission.advises
    assert permission.cautions == ()


def test_of_an_image_unlike_training_nothing_is_advised_or_guaranteed() -> None:
    guaranteed = heads(guarantees=(OF_CLICKS, SETS))
    at_limit = permitted(guaranteed, {"center"}, unlike_training=OUT_OF_DISTRIBUTION)
    assert at_limit.advises
    assert decided(at_limit, 0.75)[1] is True
    unlike = permitted(guaranteed, {"center"}, unlike_training=0.99)
    assert (unlike.advises, unlike.about_masks, unlike.about_sets) == (False, None, None)
    assert decided(unlike, 1.0) == (Advice(NONE, 0.0, 1.0, {}), None)
    (caution,) = unlike.cautions
    assert "unlike what these heads learned from (further than 99.0% of it)" in caution


CLICK = CHOICE_GAIN
BOX = replace(CLICK, prompt="box", low=-0.01)
NEAR_CLICK = replace(CLICK, prompt="near", low=0.005)
FEW = replace(CLICK, claimed=(), calibrated=(), low=-1.0, n_images=8)


@pytest.mark.parametrize(
    ("choices", "prompts", "unlike_training", "choice", "reason"),
    [
        ((CLICK, BOX), {"center", "near"}, 0.5, CLICK, ""),
        ((CLICK, NEAR_CLICK), {"center", "near"}, None, NEAR_CLICK, ""),
        ((CLICK, BOX), {"box"}, None, None, r"gained no sure .*: \+0.020 \(-0.010 to \+0.030\)"),
        ((FEW,), {"center"}, None, None, "on at least 10 held-out .* and these heads had 8"),
        ((CLICK,), {"box"}, None, None, UNTESTED_CHOICE),
        ((CLICK,), (), None, None, UNTESTED_CHOICE),
        ((CLICK,), {"center"}, 0.99, None, "unlike the training images"),
        ((), {"center"}, None, None, CHOOSES_NOTHING),
    ],
    ids=[
        *("a click", "the least sure", "unsure", "few images"),
        *("a box", "a grid", "an unlike image", "no choice"),
    ],
)
def test_a_choice_is_offered_where_it_gained_on_held_out_images(
    choices: tuple[ChoiceGain, ...],
    prompts: set[str],
    unlike_training: float | None,
    choice: ChoiceGain | None,
    reason: str,
) -> None:
    found = permitted(heads(choices=choices), prompts, unlike_training=unlike_training)
    assert found.choice == choice
    assert re.search(reason, found.no_choice)
    assert bool(found.no_choice) == (choice is None)


def test_heads_of_best_masks_compare_no_proposals_and_say_so() -> None:
    permission = permitted(heads("best"), {"center"}, unlike_training=0.5)
    assert permission.cautions == (BEST_OF_THREE,)
    assert decided(permission, 1.0)[0].correction == KEEP
    assert decided(permission, 1.0, "best")[0].correction == NONE


def test_a_like_image_is_not_called_safe_by_heads_of_drawn_shapes() -> None:
    drawn = heads(images=DRAWN_SHAPES)
    permission = permitted(
        drawn, {"center"}, unlike_training=0.1, prompt_caution="this prompt has a mask"
    )
    assert permission.cautions == (DRAWN_ONLY, "this prompt has a mask")
    assert decided(permission, 1.0)[0].holds_for == DRAWN_SHAPES
    unknown = permitted(heads(), {"center"}, unlike_training=0.1)
    assert decided(unknown, 1.0)[0].holds_for == ""
