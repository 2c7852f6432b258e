"""Promises of every measure, checked on images that did not calibrate them."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from pipeline.result_rows import PromiseRow
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.kept.images import Judged
from pipeline.scoring.kept.promises import (
    ALPHAS,
    PROMISES,
    Promise,
    least_images,
    promise_rows,
    threshold,
)
from pipeline.scoring.kept.risk_control import NOTHING
from pipeline.scoring.measured import JudgedMasks, judged_masks, own_masks
from pipeline.scoring.statistics import FAILURE_IOUS
from pipeline.vocabulary import PROTOCOLS
from tests.fixtures.judged import threshold_of_all
from tests.fixtures.model_scores import random_scores

N_OBJECTS = 240
GROUP = np.arange(N_OBJECTS) // 3


def masks_of(scores: ModelScores) -> list[JudgedMasks]:
    return own_masks(judged_masks({"large": scores}))


@pytest.fixture(scope="module")
def masks() -> list[JudgedMasks]:
    """SamScores that tell the IoU well, and masks that seldom fail."""
    scores = random_scores(0, n_objects=N_OBJECTS, train_splits=())
    iou = 1 - scores.proposals.iou**3
    noisy = (iou + 0.1 * (scores.proposals.sam_score - 0.5)).astype(np.float32)
    return masks_of(replace(scores, proposals=replace(scores.proposals, iou=iou, sam_score=noisy)))


@pytest.fixture(scope="module")
def rows(masks: list[JudgedMasks]) -> list[PromiseRow]:
    return list(promise_rows(masks, GROUP, 20, seed=0))


def test_every_measure_makes_every_promise(
    masks: list[JudgedMasks], rows: list[PromiseRow]
) -> None:
    done: list[int] = []
    again = list(promise_rows(masks, GROUP, 2, seed=0, advance=done.append))
    assert sum(done) == sum(len(one.measures) for one in masks)
    for found in (rows, again):
        assert [
            (row.protocol, row.train_split, row.measure, row.promise, row.iou_at_least, row.alpha)
            for row in found
        ] == [
            (asked.protocol, *key, *one)
            for asked in masks
            for key in asked.measures
            for one in product(PROMISES, FAILURE_IOUS, ALPHAS)
        ]


def test_the_promise_of_all_masks_is_kept(rows: list[PromiseRow]) -> None:
    of_all = [row for row in rows if row.promise == "all"]
    for row in of_all:
        # The middle 95 % span about four standard deviations of a split.
        deviation = (row.held_interval.high - row.held_interval.low) / 4
        assert row.held >= 1 - row.alpha - 3 * deviation / np.sqrt(20), row


def test_a_measure_that_tells_keeps_more_than_one_that_does_not(rows: list[PromiseRow]) -> None:
    for protocol, of in product(PROTOCOLS, PROMISES):
        own = [row for row in rows if (row.protocol, row.promise) == (protocol, of)]
        told, untold = (
            np.mean([row.kept for row in own if row.measure == measure])
            for measure in ("sam_score", "h_xp")
        )
        assert told > untold + 0.02


def test_of_the_kept_masks_few_fall_short(rows: list[PromiseRow]) -> None:
    held = [
        (row.held, row.alpha)
        for row in rows
        if row.promise == "kept" and row.measure == "sam_score" and row.kept > 0.2
    ]
    assert held
    assert all(share >= 1 - alpha for share, alpha in held)


def test_what_keeps_nothing_promises_nothing() -> None:
    scores = random_scores(0, train_splits=())
    poor = replace(scores.proposals, iou=scores.proposals.iou / 3)
    masks = masks_of(replace(scores, proposals=poor))
    rows = list(promise_rows(masks, np.arange(40) // 4, 3, seed=0))
    nothing = [row for row in rows if row.promise == "kept"]
    assert all(
        row.kept == 0 and np.isnan([row.held, row.held_interval.low]).all() for row in nothing
    )


def test_of_a_single_image_nothing_is_calibrated(masks: list[JudgedMasks]) -> None:
    assert not list(promise_rows(masks, np.zeros(N_OBJECTS, np.int64), 2, seed=0))


def test_the_seed_decides(masks: list[JudgedMasks], rows: list[PromiseRow]) -> None:
    first = next(promise_rows(masks, GROUP, 20, seed=0))
    other = next(promise_rows(masks, GROUP, 20, seed=1))
    assert first == rows[0]
    assert other != rows[0]


def test_a_threshold_is_of_all_images() -> None:
    rng = np.random.default_rng(0)
    uncertainty = rng.random(N_OBJECTS)
    judged = Judged.masks(uncertainty, rng.random(N_OBJECTS) < uncertainty**4, GROUP)
    expected = threshold_of_all(judged, 0.1)
    assert threshold(judged, Promise("all", 0.5, 0.1), seed=0) == expected > 0
    kept = [threshold(judged, Promise("kept", 0.5, 0.2), seed=3) for _ in range(2)]
    assert kept[0] == kept[1] > NOTHING


@pytest.mark.parametrize(("of", "alpha"), [*product(PROMISES, (0.05, 0.1, 0.2, 0.3, 0.4))])
def test_the_least_images_show_something_of_sound_masks_and_one_less_nothing(
    of: str, alpha: float
) -> None:
    promise = Promise(of, 0.5, alpha)

    def kept(n_images: int) -> float:
        sound = Judged.masks(np.zeros(n_images), np.zeros(n_images, bool), np.arange(n_images))
        return threshold(sound, promise, seed=0)

    assert kept(least_images(promise)) == 0
    assert kept(least_images(promise) - 1) == NOTHING


def test_an_unknown_promise_is_refused() -> None:
    judged = Judged.masks(np.ones(2), np.ones(2, bool), np.arange(2))
    with pytest.raises(ValueError, match="promise must be one of all, kept, got 'some'"):
        threshold(judged, Promise("some", 0.5, 0.1), seed=0)
