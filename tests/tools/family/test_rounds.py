"""Rounds of a step: each corrects the mask before, and all count."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.predictor.uncertainty import bounded
from pipeline.prompts import central_error
from pipeline.sam.building import build
from tools.family.batches import Batch, draw_batch
from tools.family.forward import Answer
from tools.family.images import BatchPlan, draw_scenes
from tools.family.loss import MEMBER, doubled, gain_loss, mask_loss, object_loss
from tools.family.prompts import CorrectionPlan
from tools.family.rounds import PROPOSALS, SINGLE, Round, batch_loss, decode_rounds, round_loss

PLAN = BatchPlan(seed=2, scene_size_px=64, n_images=2)
MODEL = build("mini", "tiny", seed=3)


def batch(n_first: int, *, is_mask_given: bool = True) -> Batch:
    """A batch whose first prompts have so many points."""
    drawn = (
        draw_batch(
            PLAN,
            step,
            size_px=64,
            draw_images=draw_scenes,
            n_objects=3,
            corrected=CorrectionPlan(2),
        )
        for step in range(200)
    )
    found = next(
        one
        for one in drawn
        if one.point_px.shape[1] == n_first and one.label[0, 0] == (2 if n_first == 2 else 1)
    )
    assert found.corrections is not None
    corrections = replace(found.corrections, n_rounds=3, is_mask_given=is_mask_given)
    return replace(found, corrections=corrections)


def rounds_of(batch: Batch) -> list[Round]:
    with torch.no_grad():
        return list(decode_rounds(MODEL, batch))


@pytest.mark.parametrize("n_first", [1, 2, 3])
@pytest.mark.parametrize("is_mask_given", [True, False])
def test_a_round_corrects_the_mask_before_where_it_is_wrong(
    n_first: int,
    is_mask_given: bool,
) -> None:
    drawn = batch(n_first, is_mask_given=is_mask_given)
    first, *later = rounds_of(drawn)
    assert len(later) == 3
    rows = np.array([0, 1, 3, 4])
    logits = first.answer.logits[rows][:, SINGLE]
    if n_first == 1:
        chosen = first.answer.sam_score[rows][:, PROPOSALS].argmax(dim=1)
        logits = first.answer.logits[rows, 1 + chosen][:, None]
    points = drawn.point_px[rows]
    for one in later:
        assert np.array_equal(one.prompts.point_px[:, :-1], points)
        points, labels = one.prompts.point_px, one.prompts.label
        pixels = ((points[:, -1] - 0.5) / 2).astype(int)
        seen, true = (doubled(logits) > 0)[:, 0].numpy(), (one.target > MEMBER)[:, 0].numpy()
        at = np.arange(4), pixels[:, 1], pixels[:, 0]
        is_wrong = seen != true
        assert (is_wrong[at] | ~is_wrong.any(axis=(1, 2))).all()
        assert np.array_equal(labels[:, -1], true[at].astype(np.int32))
        if is_mask_given:
            assert one.prompts.logits is not None
            assert torch.equal(one.prompts.logits, bounded(logits))
        else:
            assert one.prompts.logits is None
        logits = one.answer.logits[:, SINGLE]


def test_corrections_are_as_central_as_the_phase_has_them() -> None:
    drawn = batch(3)
    assert drawn.corrections is not None
    plan = CorrectionPlan(2, central_share=1.0)
    drawn = replace(drawn, corrections=replace(drawn.corrections, plan=plan))
    first, second, *_ = rounds_of(drawn)
    seen = (doubled(first.answer.logits[[0, 1, 3, 4]][:, SINGLE]) > 0)[:, 0].numpy()
    true = (second.target > MEMBER)[:, 0].numpy()
    pixels = ((second.prompts.point_px[:, -1] - 0.5) / 2).astype(int)
    expected = [central_error(own, target) for own, target in zip(seen, true, strict=True)]
    assert pixels.tolist() == [list(pixel) for pixel in expected]


def test_the_loss_is_that_of_all_masks_of_all_rounds_by_rows() -> None:
    drawn = batch(1)
    expected = 0.0
    first, *later = rounds_of(drawn)
    for one in (first, *later):
        is_object = one.target.amax((1, 2, 3)) > 0
        share = len(one.target) / len(first.target)
        for masks in (SINGLE, PROPOSALS):
            raised = doubled(one.answer.logits[is_object][:, masks])
            scores = one.answer.sam_score[is_object][:, masks]
            expected += share * float(mask_loss(raised, scores, one.target[is_object], "overlap"))
        expected += share * float(object_loss(one.answer.object_score, is_object))
    with torch.no_grad():
        loss = batch_loss(MODEL, drawn, "overlap")
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_click_on_the_ground_teaches_only_that_there_is_no_object() -> None:
    drawn = batch(1)
    assert drawn.mask.any(axis=(1, 2)).tolist() == [True, True, False] * 2
    first = rounds_of(drawn)[0]
    logits, sam_score, object_score = (
        tensor.requires_grad_() for tensor in vars(first.answer).values()
    )
    answer = Answer(logits, sam_score, object_score)
    round_loss(replace(first, answer=answer), "overlap").backward()  # type: ignore[no-untyped-call]
    for tensor in (logits, sam_score):
        assert tensor.grad is not None
        learned = tensor.grad.flatten(1).abs().amax(1) > 0
        assert learned.tolist() == [True, True, False] * 2
    assert object_score.grad is not None
    assert (object_score.grad < 0).tolist() == [True, True, False] * 2


def test_batches_without_corrections_have_one_round_of_proposals() -> None:
    drawn = draw_batch(PLAN, 0, size_px=64, draw_images=draw_scenes, n_objects=4)
    (first,) = rounds_of(drawn)
    with torch.no_grad():
        loss = batch_loss(MODEL, drawn, "balanced")
    proposals = doubled(first.answer.logits[:, PROPOSALS])
    expected = mask_loss(proposals, first.answer.sam_score[:, PROPOSALS], first.target, "balanced")
    assert float(loss) == float(expected)


def test_what_corrections_of_given_masks_gain_counts_by_its_weight() -> None:
    drawn = batch(1)
    first, *later = rounds_of(drawn)
    gains = [
        len(one.target)
        / len(first.target)
        * gain_loss(
            doubled(one.prompts.logits), doubled(one.answer.logits[:, SINGLE]), one.target
        ).item()
        for one in later
        if one.prompts.logits is not None
    ]
    assert len(gains) == 3
    with torch.no_grad():
        alone, with_gain = (
            batch_loss(MODEL, drawn, "overlap", weight).item() for weight in (0.0, 2.0)
        )
        assert with_gain - alone == pytest.approx(2 * sum(gains), rel=1e-4)
        blind = batch(1, is_mask_given=False)
        without = [batch_loss(MODEL, blind, "overlap", weight) for weight in (0.0, 2.0)]
    assert without[0] == without[1]
