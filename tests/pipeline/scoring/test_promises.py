"""Promises of every measure, and what they keep."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from pipeline.result_rows import PromiseRow
from pipeline.scoring.evidence import ModelScores
from pipeline.scoring.measured import JudgedMasks, judged_masks, own_masks
from pipeline.scoring.promises import (
    ALPHAS,
    PROMISES,
    Promise,
    least_images,
    promise_rows,
    threshold,
)
from pipeline.scoring.risk_control import NOTHING, Judged, threshold_of_all
from pipeline.scoring.statistics import FAILURE_IOUS
from pipeline.vocabulary import PROTOCOLS
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
    return list(promise_rows(masks, GROUP))


def test_of_every_measure_the_promises_that_keep_something_are_told(
    masks: list[JudgedMasks], rows: list[PromiseRow]
) -> None:
    expected = []
    for one in masks:
        for (train_split, measure), uncertainty in one.measures.items():
            for promise in (Promise(*parts) for parts in product(PROMISES, FAILURE_IOUS, ALPHAS)):
                judged = Judged.masks(uncertainty, one.iou < promise.iou, GROUP)
                kept = float(np.mean(uncertainty <= threshold(judged, promise)))
                if kept > 0:
                    asked = (promise.of, promise.iou, promise.alpha)
                    row = (one.protocol, train_split, one.model, measure, *asked, kept)
                    expected.append(PromiseRow(*row))
    assert rows == expected
    n_settings = sum(len(one.measures) for one in masks) * len(PROMISES) * 6
    assert len(rows) < n_settings


def test_a_measure_that_tells_keeps_more_than_one_that_does_not(rows: list[PromiseRow]) -> None:
    for protocol, of in product(PROTOCOLS, PROMISES):
        own = [row for row in rows if (row.protocol, row.promise) == (protocol, of)]
        told, untold = (
            sum(row.kept for row in own if row.measure == measure)
            for measure in ("sam_score", "h_xp")
        )
        assert told > untold + 0.1


def test_of_few_poor_masks_nothing_is_kept_under_the_promise_of_the_kept() -> None:
    scores = random_scores(0, train_splits=())
    poor = replace(scores.proposals, iou=scores.proposals.iou / 3)
    masks = masks_of(replace(scores, proposals=poor))
    assert "kept" not in {row.promise for row in promise_rows(masks, np.arange(40) // 4)}


def test_a_single_image_shows_nothing(masks: list[JudgedMasks]) -> None:
    assert not list(promise_rows(masks, np.zeros(N_OBJECTS, np.int64)))


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
