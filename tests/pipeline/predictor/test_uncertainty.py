"""What a prompt set gives beside its masks, alone or among others."""

import json
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
import torch

from pipeline.entropy.mixtures import mask_entropy
from pipeline.heads.kinds import CUT_OBJECTIVES, HeadSet
from pipeline.heads.predict import predict
from pipeline.heads.scope import BEST_OF_THREE, DRAWN_SHAPES, LEAST_GAIN, OF_SETS
from pipeline.masks import CUTS
from pipeline.predictor import (
    PromptSet,
    UncertainPredictor,
    Uncertainty,
    coco_masks,
)
from pipeline.predictor.advice import CORRECTIONS, KEEP, NONE, Advice, Costs
from pipeline.predictor.judgement import CHOOSES_NOTHING, advise_on
from pipeline.predictor.proposal_heads import proposal_inputs
from pipeline.prompt_kinds import PromptError
from pipeline.sam.model import Sam
from pipeline.scoring.evidence import head_predictions
from pipeline.upsampling import at_image
from pipeline.vocabulary import protocol_objectives
from storage.rle import decode_rle
from tests.fixtures.mini import MODELS
from tests.fixtures.predictors import (
    CHOICE_GAIN,
    GATE,
    built_mini,
    drawn,
    mini_predictor,
    random_heads,
    trained_mini,
)

Asked = dict[str, Any]

CLICK: Final[Asked] = {"point_coords": [[120.0, 80.5]], "point_labels": [1]}
OTHER_CLICK: Final[Asked] = {"point_coords": [[60, 100]], "point_labels": [1]}
BESIDE: Final[Asked] = {"point_coords": [[120, 80], [30, 150]], "point_labels": [1, 0]}
MANY: Final[Asked] = {"point_coords": [[120, 80], [100, 60], [110, 70]], "point_labels": [1, 1, 1]}
BOX: Final[Asked] = {"box": [40, 30, 200, 150]}
BOX_AND_CLICK: Final[Asked] = BOX | CLICK
EARLIER: Final[Asked] = {"mask_input": np.zeros((1, 64, 64))}

EVERY: Final[tuple[Asked, ...]] = (
    CLICK,
    BOX,
    BESIDE,
    OTHER_CLICK,
    BOX_AND_CLICK,
    EARLIER,
    CLICK | EARLIER,
    MANY,
)


def ask(asked: Asked) -> Uncertainty:
    return mini_predictor().predict_uncertainty(**asked)


def numbers(found: Uncertainty) -> dict[str, np.ndarray]:
    """Every array and number, by its place."""
    by_kind = {
        "expected_iou": found.expected_iou.by_name,
        "gap": found.gap,
        "direct_gap": found.direct_gap,
    }
    parts: dict[str, Any] = {
        f"{kind} {name}": value
        for kind, values in by_kind.items()
        for name, value in values.items()
    }
    assert found.is_kept is None  # these heads have no gate
    assert found.mask_set is None
    assert found.choice is None  # these heads do not choose masks
    names = ("masks", "sam_score", "logits", "probability", "h_std", "h_a")
    parts |= {name: getattr(found, name) for name in names}
    return {name: np.asarray(part) for name, part in parts.items()}


def test_prompt_sets_of_every_kind_are_answered_in_their_order_as_if_alone() -> None:
    together = mini_predictor().predict_uncertainties([PromptSet(**one) for one in EVERY])
    for asked, found in zip(EVERY, together, strict=True):
        alone = numbers(ask(asked))
        for name, values in numbers(found).items():
            if name in {"masks", "probability"}:
                # Up to rounding, a logit may fall on either side of 0 and of each step.
                assert (~np.isclose(values, alone[name], atol=1e-4)).mean() < 1e-3, name
            else:
                np.testing.assert_allclose(values, alone[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_masks_scores_and_logits_are_those_of_predict() -> None:
    masks, sam_score, logits = mini_predictor().predict(**CLICK)
    found = ask(CLICK)
    assert found.masks.shape == (3, *drawn().shape[:2])
    np.testing.assert_array_equal(found.masks, masks > 0)
    np.testing.assert_array_equal(found.sam_score, sam_score)
    np.testing.assert_array_equal(found.logits, logits)
    assert found.selected == sam_score.argmax()


def test_the_weighted_mean_of_the_pixels_entropies_is_that_of_the_mask() -> None:
    found = ask(CLICK)
    p = found.probability
    assert ((found.pixel_entropy >= 0) & (found.pixel_entropy <= 1)).all()
    mean = (p * found.pixel_entropy).sum(axis=(1, 2)) / p.sum(axis=(1, 2))
    np.testing.assert_allclose(mean, mask_entropy(p), rtol=1e-4)


def test_the_entropy_of_a_mask_is_that_of_its_logits() -> None:
    found = ask(CLICK)
    exact = mask_entropy(1 / (1 + np.exp(-found.logits.astype(np.float64))))
    np.testing.assert_allclose(found.h_std, exact, rtol=1e-5)


@pytest.mark.parametrize(
    ("asked", "learned", "told"),
    [
        (BOX | BESIDE, "", "a box and clicks beside the object"),
        (CLICK | EARLIER, "", "a mask"),
        (MANY, "refined", ""),
        (MANY, "box", "3 clicks"),
        (BOX_AND_CLICK, "refined box", ""),
        (BOX | BESIDE, "refined box", "clicks beside the object"),
        (BOX | BESIDE, "box corrected", ""),
        (MANY | EARLIER, "refined box corrected", "a mask"),
    ],
)
def test_what_a_prompt_has_that_no_head_learned_from_is_said(
    asked: Asked, learned: str, told: str
) -> None:
    heads = replace(random_heads(), prompts=("center", *learned.split()))
    predictor = UncertainPredictor(trained_mini(), heads)
    predictor.set_image(drawn())
    caution = predictor.predict_uncertainty(**asked).caution
    assert caution.endswith(f"; this prompt has {told}" if told else "")
    assert bool(caution) == bool(told)


def test_a_caution_says_what_the_heads_learned_from() -> None:
    words = "the heads learned from one click on the object; this prompt has a box"
    assert ask(BOX).caution == words


def test_many_sets_in_one_argument_are_sent_to_the_other_method() -> None:
    with pytest.raises(ValueError, match="prompts must be of one set, got 2: predict_uncertaint"):
        ask({"box": [[1, 2, 3, 4]] * 2})


@pytest.mark.parametrize(("images", "mark"), [(DRAWN_SHAPES, f" (for {DRAWN_SHAPES})"), ("", "")])
def test_advice_is_marked_where_the_image_may_be_none_that_the_heads_know(
    images: str, mark: str
) -> None:
    predictor = UncertainPredictor(trained_mini(), replace(random_heads(), images=images))
    predictor.set_image(drawn())
    for person, correction in ((0.0, "segmentation"), (1.0, KEEP)):
        advice = predictor.predict_uncertainty(
            **CLICK, costs=Costs(click=1.0, larger_model=1.0, person=person)
        ).advice
        assert advice.correction == correction
        assert advice.words == CORRECTIONS[correction] + mark


def advised(model: str = "tiny", **costs: float) -> Advice:
    return mini_predictor(model).predict_uncertainty(**CLICK, costs=Costs(**costs)).advice


def choosing(**changes: Any) -> UncertainPredictor:  # noqa: ANN401 - of the gain
    changes = {"claimed": (0.0, 0.001), "calibrated": (0.0, 0.1)} | changes
    heads = replace(random_heads(kind="ours"), choices=(replace(CHOICE_GAIN, **changes),))
    predictor = UncertainPredictor(trained_mini(), heads)
    predictor.set_image(drawn())
    return predictor


def test_the_chosen_mask_has_the_highest_calibrated_gain_of_27_masks() -> None:
    predictor = choosing()
    found = predictor.predict_uncertainty(**CLICK)
    decoded = predictor.sam.decode(
        predictor.sam.encode(drawn()), np.array([[CLICK["point_coords"][0]]], np.float32)
    )
    inputs = proposal_inputs(predictor.heads, decoded)
    expected = predict(predictor.heads.weights, inputs)
    by_mask = {
        (proposal, cut): float(expected[name][proposal])
        for proposal in range(3)
        for cut, name in zip(CUTS, CUT_OBJECTIVES, strict=True)
    }
    (proposal, cut), iou = max(by_mask.items(), key=lambda item: item[1])
    choice = found.choice
    assert choice is not None
    assert (choice.proposal, choice.cut) == (proposal, cut) != (found.selected, 0.5)
    own_iou = by_mask[found.selected, 0.5]
    assert choice.gain == pytest.approx(0.1 * min(1, 1000 * (iou - own_iou)), abs=1e-3)
    assert choice.expected_iou == pytest.approx(own_iou + choice.gain, abs=1e-5)
    probability = at_image(decoded.logits, drawn().shape[:2])[0, proposal].sigmoid().numpy()
    differs = choice.mask != (probability > cut)
    assert (abs(probability[differs] - cut) < 1e-5).all()
    assert choice.mask.any()
    assert found.best_mask is choice
    np.testing.assert_array_equal(found.expected_iou.models["tiny"], found.expected_iou.own)


def test_beside_a_choice_the_ious_of_proposals_are_calibrated_alike() -> None:
    predictor = choosing()
    found = predictor.predict_uncertainty(**CLICK)
    predictor.heads = replace(predictor.heads, choices=())
    claimed = predictor.predict_uncertainty(**CLICK).expected_iou.own
    k, choice = found.selected, found.choice
    assert choice is not None
    own = found.expected_iou.own
    assert own[k] == claimed[k]
    gain = claimed - own[k]
    calibrated = 0.1 * np.clip(1000 * gain, 0, 1)
    expected = np.where(gain > 0, np.where(calibrated < LEAST_GAIN, 0, calibrated), gain)
    assert (gain > 0).any()
    np.testing.assert_allclose(own - own[k], expected, atol=1e-12)
    assert own.max() <= choice.expected_iou
    assert [found.mask_of(i).gain for i in range(3)] == pytest.approx(own - own[k])


def test_a_mask_that_gains_nothing_is_not_offered_and_no_proposal_states_more() -> None:
    found = choosing(calibrated=(-0.5, 0.0)).predict_uncertainty(**CLICK)
    assert found.choice is not None
    assert found.choice.is_own_mask(found.selected)
    assert (found.choice.gain, found.choice.expected_iou) == (0, found.expected_iou.own.max())
    assert "task" not in found.advice.gains
    np.testing.assert_array_equal(found.choice.mask, found.masks[found.selected])


@pytest.mark.parametrize(
    ("changes", "asked", "reason"),
    [
        ({"low": -0.01}, CLICK, "gained no sure IoU from such prompts"),
        ({}, BOX, "was not tested for such prompts"),
    ],
)
def test_where_no_choice_is_offered_the_best_mask_is_the_selected_one(
    changes: dict[str, float], asked: Asked, reason: str
) -> None:
    found = choosing(**changes).predict_uncertainty(**asked)
    assert found.choice is None
    assert reason in found.permission.no_choice
    assert "task" not in found.advice.gains
    best = found.best_mask
    assert best.is_own_mask(found.selected)
    np.testing.assert_array_equal(best.mask, found.masks[found.selected])
    assert best.expected_iou == found.expected_iou.own[found.selected]


def test_the_advice_is_about_the_selected_proposal() -> None:
    found = choosing().predict_uncertainty(**CLICK)
    assert found.choice is not None
    assert found.choice.expected_iou is not None
    own = float(found.expected_iou.own[found.selected])
    gains = {
        "model": found.direct_gap["model"][found.selected],
        "prompt": found.direct_gap["prompt"][found.selected],
        "task": found.choice.gain,
        "segmentation": 1 - own,
    }
    assert found.advice.gains == pytest.approx(gains)
    assert advised(click=1.0, larger_model=1.0, person=0.0).correction == "segmentation"


def test_heads_of_best_masks_compare_no_proposals_and_advise_to_keep_none() -> None:
    predictor = UncertainPredictor(trained_mini(), random_heads(protocol="best"))
    predictor.set_image(drawn())
    never = Costs(click=1.0, larger_model=1.0, person=1.0)
    for costs, correction in ((never, NONE), (Costs(person=0.0), "segmentation")):
        found = predictor.predict_uncertainty(**CLICK, costs=costs)
        assert found.advice.correction == correction
        assert "task" not in found.advice.gains
        assert "task" not in found.gap
        assert "task" not in found.direct_gap
        assert found.caution == BEST_OF_THREE


def test_a_gate_keeps_a_mask_at_its_threshold_and_none_below() -> None:
    own = float(ask(CLICK).expected_iou.own[ask(CLICK).selected])
    for threshold, is_kept in ((1 - own, True), (np.nextafter(1 - own, 0), False)):
        guarantee = replace(GATE, threshold=float(threshold))
        heads = replace(mini_predictor().heads, guarantees=(guarantee,))
        predictor = UncertainPredictor(trained_mini(), heads)
        predictor.set_image(drawn())
        assert predictor.predict_uncertainty(**CLICK).is_kept is is_kept


def test_a_mask_set_takes_the_proposals_in_the_order_of_their_own_expected_iou() -> None:
    own = ask(CLICK).expected_iou.own
    order = np.argsort(-own, kind="stable")
    alone, two = 1.0, 1 - float(own[order[0]])
    for threshold, n_proposals in ((alone, 1), (two, 2), (0.0, 3)):
        guarantee = replace(GATE, of=OF_SETS, threshold=threshold)
        heads = replace(mini_predictor().heads, guarantees=(guarantee,))
        predictor = UncertainPredictor(trained_mini(), heads)
        predictor.set_image(drawn())
        found = predictor.predict_uncertainty(**CLICK)
        assert found.mask_set == tuple(order[:n_proposals])


@pytest.mark.parametrize("chosen_gain", [0.0, 0.3])
def test_a_chosen_mask_is_advised_with_its_gain_and_only_if_there_is_one(
    chosen_gain: float,
) -> None:
    objectives = dict.fromkeys(protocol_objectives("selected", MODELS), 0.5)
    values = objectives | {"iou_tiny": 0.3, "iou_best": 0.9}
    arrays = {name: np.full(3, value) for name, value in values.items()}
    predictions = head_predictions(arrays, HeadSet("selected", "selected"), "tiny", models=MODELS)
    advice = advise_on(predictions, 1, Costs(person=1.0), chosen_gain)
    assert advice.correction == ("task" if chosen_gain else "keep")
    assert advice.expected_iou == pytest.approx(0.3 + chosen_gain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "huge"}, "model must be one of tiny, .*, got 'huge'"),
        ({"weights": {}}, "heads of paper/selected/selected must have iou_tiny, got none"),
        ({"head_set": HeadSet("best", "best")}, "heads of paper/best/best must have iou_selec"),
    ],
)
def test_heads_that_lack_something_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(random_heads(), **changes)


def test_nothing_is_said_from_what_is_no_number() -> None:
    sam = Sam(built_mini(), device=torch.device("cpu"), precision="fp32")
    sam.model.sam_mask_decoder.iou_token.weight.data.fill_(np.nan)
    predictor = UncertainPredictor(sam, random_heads())
    predictor.set_image(drawn())
    with pytest.raises(PromptError, match="tokens of the decoder must be finite numbers, got nan"):
        predictor.predict_uncertainty(**CLICK)


@pytest.mark.parametrize("asked", [CLICK, BOX_AND_CLICK])
def test_all_but_the_pixels_becomes_json(asked: Asked) -> None:
    found = ask(asked)
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(values) == {*found.prompt_values(), "proposals"}
    assert (values["family"], values["model"]) == ("mini", "tiny")
    assert values["selected"] == found.selected
    assert (values["choice"], values["no_choice"]) == (None, CHOOSES_NOTHING)
    assert values["advice"] == {"words": found.advice.words, **vars(found.advice)}
    assert values["caution"] == (found.caution or None)
    assert values["h_a"] == found.h_a
    for k, one in enumerate(values["proposals"]):
        assert one["sam_score"] == found.sam_score[k]
        assert one["expected_iou"] == {n: iou[k] for n, iou in found.expected_iou.by_name.items()}
        assert one["direct_gap"] == {name: gap[k] for name, gap in found.direct_gap.items()}
        assert one["area_px"] == found.masks[k].sum()
        mask = decode_rle(one["segmentation"]["counts"], *one["segmentation"]["size"])
        np.testing.assert_array_equal(mask, found.masks[k])
        assert one["polygons"] == coco_masks.polygons(found.masks[k])


def test_the_large_model_is_never_told_to_be_larger() -> None:
    advice = advised("large", click=1.0, larger_model=0.0, person=1.0)
    assert advice.gains["model"] == 0
    assert advice.correction != "model"


def test_a_model_between_them_is_compared_with_the_large_one() -> None:
    found = mini_predictor("small").predict_uncertainty(**CLICK)
    expected = found.expected_iou
    gain = expected.models["large"][found.selected] - expected.own[found.selected]
    assert found.advice.gains["model"] == pytest.approx(gain)
    assert gain != pytest.approx(found.direct_gap["model"][found.selected])
