"""Masks beside the selected mask: fixed cuts, and gains like for like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.better_masks import (
    ARRAYS_OF_CODES,
    SELECTED,
    SELECTED_CODES,
    best_fixed_cut,
    better_mask_scores,
    ious_of_cuts,
)
from pipeline.heads.scope import LEAST_GAIN
from pipeline.masks import CUT, CUTS
from pipeline.scoring import bootstrap
from tests.fixtures.predictors import CHOICE_GAIN


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_cuts_and_proposals_are_those_of_a_slow_loop_and_no_fixed_cut_is_better(
    seed: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    iou_at_cut, sam_score = rng.random((n, 3, len(CUTS))), rng.random((n, 3))
    cut = best_fixed_cut(iou_at_cut, sam_score)
    means = {
        name: np.mean(
            [iou[score.argmax(), k] for iou, score in zip(iou_at_cut, sam_score, strict=True)]
        )
        for k, name in enumerate(CUTS)
    }
    assert means[cut] == max(means.values())
    expected_iou = rng.random(iou_at_cut.shape)
    ious = ious_of_cuts(
        iou_at_cut,
        sam_score,
        fixed_cuts={"train": cut},
        expected_iou={"train": expected_iou, "unsure": expected_iou},
        calibrations={"train": CHOICE_GAIN},
    )
    assert ious["train", "fixed_cut"].mean() == pytest.approx(means[cut])
    assert ious["", SELECTED].mean() == pytest.approx(means[CUT])
    for i, (iou, expected, score) in enumerate(
        zip(iou_at_cut, expected_iou, sam_score, strict=True)
    ):
        selected, half = score.argmax(), CUTS.index(CUT)
        own = selected, half
        best = {
            "learned_cut": (selected, expected[selected].argmax()),
            "learned_proposal": (expected[:, half].argmax(), half),
            "choice": np.unravel_index(expected.argmax(), expected.shape),
        }
        for name, mask in best.items():
            is_offered = (expected[mask] - expected[own]) / 2 >= LEAST_GAIN
            assert ious["train", name][i] == iou[mask if is_offered else own]
            assert ious["unsure", name][i] == iou[own]


def test_masks_are_compared_with_the_selected_mask_of_their_own_size() -> None:
    base = np.array([0.5, 0.5, 0.25, 0.75])
    names = [SELECTED, *ARRAYS_OF_CODES]
    ious = {("", name): base.copy() for name in names}
    ious["", SELECTED_CODES] = base - 0.25
    ious["", "mean_views"] = base + np.array([0, -0.25, -0.255, 0.25])
    ious["train", "fixed_cut"] = base + np.array([0.005, 0, -0.02, 0])
    resamples = bootstrap.resample_groups(np.arange(4), 50, seed=0)
    scores = {
        (score.keys.choice, score.statistic): score
        for score in bootstrap.scores(better_mask_scores({"tiny": ious}, resamples), 4)
    }
    values = {key: score.value for key, score in scores.items()}
    assert values["mean_views", "mask_gain"] == pytest.approx((0.25 - 0.005 + 0.5) / 4)
    shares = [values["mean_views", name] for name in ("changed", "gained", "lost")]
    assert shares == [0.75, 0.5, 0]
    assert values["fixed_cut", "mask_gain"] == pytest.approx(-0.015 / 4)
    shares = [values["fixed_cut", name] for name in ("changed", "gained", "lost")]
    assert shares == [0.5, 0, 0.25]
    assert values["mean_models", "mask_gain"] == pytest.approx(0.25)
    for name in (SELECTED, SELECTED_CODES):
        assert values[name, "mask_gain"] == 0
        assert scores[name, "mask_gain"].interval.high == 0
    for score in scores.values():
        assert score.interval.low <= score.value <= score.interval.high
