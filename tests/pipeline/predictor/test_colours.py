"""Images unlike those that heads learned from: distances of their colours, and what is withheld."""

from dataclasses import replace
from functools import cache
from typing import Any, Final

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from pipeline.predictor import UncertainMaskGenerator, UncertainPredictor
from pipeline.predictor.advice import NONE
from pipeline.predictor.colours import (
    OUT_OF_DISTRIBUTION,
    TrainingColours,
    fit_colours,
)
from stages.predictor.card_entries import training_colours
from storage.head_files.head_file import read_head_file, shipped_heads
from tests.fixtures.predictors import drawn, mini_predictor, random_heads

CENTRE: Final[dict[str, Any]] = {"point_coords": [[100, 90]], "point_labels": [1]}


@cache
def of_scenes() -> TrainingColours:
    """Colours in the card of the heads that ship."""
    found = training_colours(read_head_file(shipped_heads()).card)
    assert found is not None
    return found


def knowing(threshold: float | None = None) -> UncertainPredictor:
    """A predictor whose heads know the colours of scenes."""
    heads = replace(random_heads(), colours=of_scenes(), least_iou=threshold)
    return UncertainPredictor(mini_predictor().sam, heads)


def photograph() -> np.ndarray:
    return np.asarray(load_sample_images().images[0])


def test_distances_are_those_of_mahalanobis_with_no_scale_below_a_tenth() -> None:
    scale = np.array([0.001, 2, 3, 4, 5, 6, 7])
    rows = np.random.default_rng(0).normal(size=(400, 7)) * scale
    colours = fit_colours(rows)
    z = (rows - rows.mean(axis=0)) / rows.std(axis=0).clip(0.1)
    shrunk = 0.9 * np.cov(z.T, bias=True) + 0.1 * np.eye(7)
    slow = [np.sqrt(row @ np.linalg.inv(shrunk) @ row) for row in z]
    np.testing.assert_allclose(colours.distance(rows), slow, rtol=1e-4)


def test_the_share_is_that_of_held_out_images_that_are_nearer() -> None:
    rows = np.random.default_rng(2).normal(size=(500, 7))
    found = fit_colours(rows)
    assert found.share_nearer(rows.mean(axis=0)) == 0
    assert found.share_nearer(rows.mean(axis=0) + 100) == 1
    fresh = np.random.default_rng(3).normal(size=(2000, 7))
    shares = np.array([found.share_nearer(row) for row in fresh])
    for share in (0.1, 0.5, 0.9):
        assert (shares > share).mean() == pytest.approx(1 - share, abs=0.05)


def test_quantiles_stand_for_many_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(4).normal(size=(300, 7))
    whole = fit_colours(rows)
    monkeypatch.setattr("pipeline.predictor.colours._N_QUANTILES", 100)
    few = fit_colours(rows)
    assert (len(whole.distances), len(few.distances)) == (300, 100)
    assert few.distances[0] == whole.distances[0]
    assert few.distances[-1] == whole.distances[-1]
    for row in rows[:20]:
        assert few.share_nearer(row) == pytest.approx(whole.share_nearer(row), abs=0.02)


@pytest.mark.parametrize("rows", [np.zeros((4, 7)), np.full((9, 7), np.nan)])
def test_what_cannot_be_fitted_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be of at least 5 images in finite numbers, got"):
        fit_colours(rows)


def test_an_unlike_image_gets_no_advice_and_passes_no_gate() -> None:
    predictor = knowing(threshold=0.0)
    predictor.set_image(photograph())
    found = predictor.predict_uncertainty(**CENTRE)
    assert found.unlike_training is not None
    assert found.unlike_training > OUT_OF_DISTRIBUTION
    own = float(found.expected_iou.own[found.selected])
    assert vars(found.advice) == {
        "correction": NONE,
        "gain": 0,
        "expected_iou": own,
        "gains": {},
    }
    assert found.advice.words == "no advice"
    assert found.is_kept is None
    assert found.caution == (
        "the image is unlike what these heads learned from (further than all of it)"
    )
    assert found.to_dict()["unlike_training"] == 1


def test_masks_of_everything_in_an_unlike_image_get_no_advice() -> None:
    generator = UncertainMaskGenerator(
        knowing(threshold=0.0), points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0
    )
    for rgb, is_unlike in ((photograph(), True), (drawn(), False)):
        records = generator.generate(rgb)
        assert records
        for record in records:
            assert (record["unlike_training"] > OUT_OF_DISTRIBUTION) is is_unlike
            assert (record["advice"]["correction"] == NONE) is is_unlike
            assert record["is_kept"] is (None if is_unlike else True)
            assert (record["caution"] is not None) is is_unlike
