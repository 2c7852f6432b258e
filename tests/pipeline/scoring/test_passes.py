"""Passes compute compiled what they say."""

import numpy as np
import pytest

from pipeline.scoring.association import spearman
from pipeline.scoring.bootstrap import Resamples, resample_groups, resampled_areas
from pipeline.scoring.calibration import reliability
from pipeline.scoring.failures import detection
from pipeline.scoring.kept.images import Judged, random_halves
from pipeline.scoring.kept.risk_control import check, thresholds_of_all, thresholds_of_kept
from pipeline.scoring.passes import areas, ranks, thresholds
from pipeline.scoring.routing import Ious, share_to_match
from pipeline.scoring.selective import aurc
from tests.fixtures.uncompiled import run_uncompiled

N_OBJECTS = 24


def statistics(resamples: Resamples) -> list[np.ndarray]:
    """Whatever the passes of areas and ranks are there for, with ties."""
    iou, noise = np.random.default_rng(0).random((2, N_OBJECTS))
    uncertainty = np.round(iou + noise, 1)
    return [
        resampled_areas(np.stack([iou, noise], axis=1), uncertainty, resamples),
        aurc(iou, uncertainty, resamples),
        spearman(iou, uncertainty, resamples),
        share_to_match(Ious(iou, np.ones(N_OBJECTS)), uncertainty, resamples),
        *vars(detection(iou < 0.3, uncertainty, resamples)).values(),
        *vars(reliability(uncertainty, iou, resamples)).values(),
    ]


def test_statistics_of_resamples_are_those_of_the_python(monkeypatch: pytest.MonkeyPatch) -> None:
    resamples = resample_groups(np.arange(N_OBJECTS) // 3, 3, seed=0)
    compiled = statistics(resamples)
    for module in (areas, ranks):
        run_uncompiled(module, monkeypatch)
    for found, said in zip(compiled, statistics(resamples), strict=True):
        np.testing.assert_allclose(found, said, rtol=1e-12)


def promised() -> list[np.ndarray]:
    """What the passes of thresholds are there for, on halves of some images."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(40), 2)
    uncertainty = np.round(rng.random(80), 2)
    judged = Judged.masks(uncertainty, rng.random(80) < uncertainty**4, group)
    found = []
    for of in (thresholds_of_all, thresholds_of_kept):
        halves = random_halves(40, 3, rng, has_design=of is thresholds_of_kept)
        chosen = of(judged, halves, 0.3)
        found += [chosen, *vars(check(judged, halves, chosen, 0.3)).values()]
    return found


def test_thresholds_are_those_of_the_python(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = promised()
    assert np.isfinite(compiled[0]).any()
    run_uncompiled(thresholds, monkeypatch)
    for found, said in zip(compiled, promised(), strict=True):
        np.testing.assert_allclose(found, said, rtol=1e-12)
