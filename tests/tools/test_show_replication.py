"""Measures of fresh scenes are those of the stages, and so are their margins over 1 - SamScore."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.entropy.mixture_plan import CellRows
from pipeline.entropy.objects import object_arrays
from pipeline.extraction.predictions import Request, extract_objects
from pipeline.prompts import measure_objects
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.corrections import auc_scores
from pipeline.scoring.evidence import Evidence
from pipeline.scoring.measures import BY_NAME
from pipeline.views import default_view
from pipeline.vocabulary import JUDGED, PROMPTS
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.mini import MODELS
from tests.fixtures.model_scores import random_scores
from tests.fixtures.predictors import trained_mini
from tools import show_replication
from tools.blocks import read_block
from tools.show_replication import MEASURES, N_RESAMPLES, answers, margins


def test_measures_of_a_scene_are_those_of_extraction_and_entropy() -> None:
    sam, scene = trained_mini(), draw_scene(11, 256)
    clicks = measure_objects((mask, i) for i, mask in enumerate(scene.masks)).point_px
    request = Request(clicks, scene.masks, default_view("identity"), PROMPTS)
    rows = extract_objects(sam, sam.encode(scene.rgb), request, batch=4, with_masks=True)
    cell = CellRows(rows["mask_code"], rows["sam_score"], rows["iou"])
    truth = np.ones((len(clicks), *rows["mask_code"].shape[-2:]), bool)
    arrays = object_arrays(
        lambda *_: cell, truth.__getitem__, models=("tiny",), views=("identity",), block_objects=9
    )
    answer = answers(sam, scene)
    h_std = arrays["h_std"][:, JUDGED.index("selected"), 0]
    np.testing.assert_allclose(answer["h_std"], h_std, atol=1e-5)
    np.testing.assert_allclose(answer["best_iou"], rows["iou"][:, 0].max(axis=1), atol=1e-5)
    np.testing.assert_allclose(answer["sam_score"], 1 - rows["sam_score"][:, 0].max(1), atol=1e-5)


def test_margins_are_those_of_the_stage_evaluate() -> None:
    scores = random_scores(5, n_objects=60)
    scene = np.arange(60) // 3
    resamples = resample_groups(scene, N_RESAMPLES, seed=0)
    evidence = Evidence("tiny", "selected", scores)
    uncertainties = {name: BY_NAME[name].compute(evidence) for name in ("sam_score", *MEASURES)}
    proposals = scores.proposals
    ious = {"iou": proposals.judged_iou("selected"), "best_iou": proposals.judged_iou("best")}
    evaluated = {
        score.keys.measure: score
        for score in auc_scores(dict.fromkeys(MODELS, scores), resamples)
        if score.statistic == "margin"
        and (score.keys.protocol, score.keys.task, score.keys.model) == ("selected", "task", "tiny")
    }
    for measure, margin in margins({**ious, **uncertainties, "scene": scene}).items():
        score = evaluated[measure]
        expected = (score.value, score.interval.low, score.interval.high)
        np.testing.assert_allclose(list(margin.values()), 100 * np.array(expected), atol=1e-9)


def test_the_table_has_each_seed_and_all_scenes_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- replication -->\n<!-- /replication -->\n", encoding="utf-8")
    for name, few in {"PAGE": page, "N_SCENES": 3, "MODELS": ("tiny",), "N_RESAMPLES": 50}.items():
        monkeypatch.setattr(show_replication, name, few)
    monkeypatch.chdir(ROOT)
    show_replication.main([31, 32])
    n_objects = [
        sum(len(draw_scene(scene, 256).masks) for scene in scene_seeds(seed, "further", 3))
        for seed in (31, 32)
    ]
    lines = [line.strip("| ").split(" | ") for line in read_block(page, "replication").splitlines()]
    labels = ["seed 31", "seed 32", "all"]
    assert [line[:3] for line in lines if line[0] == "H_Std"] == [
        ["H_Std", label, str(n)]
        for label, n in zip(labels, (*n_objects, sum(n_objects)), strict=True)
    ]
