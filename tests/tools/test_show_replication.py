"""Measures of fresh scenes are those of the stages, and so are their margins over 1 - SamScore."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.entropy.mixture_plan import CellRows
from pipeline.entropy.objects import object_arrays
from pipeline.extraction.predictions import Request, extract_objects
from pipeline.prompts import measure_objects
from pipeline.proposals import ProposalScores
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.scoring.bootstrap import interval, resample_groups
from pipeline.scoring.corrections import auc_scores
from pipeline.scoring.evidence import Evidence
from pipeline.scoring.measures import BASELINE, BY_NAME
from pipeline.scoring.tasks import default_model
from pipeline.views import default_view
from pipeline.vocabulary import JUDGED, PROMPTS, TASKS
from stages.page.labels import TASK_LABELS, measure_label
from storage.head_files.head_file import read_head_file, shipped_heads
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.mini import MODELS
from tests.fixtures.model_scores import random_scores
from tests.fixtures.predictors import trained_mini
from tests.fixtures.scores import by_keys
from tools import show_replication
from tools.answers import N_RESAMPLES
from tools.blocks import read_block, starred, table
from tools.show_replication import measures, resampled_margins, sure_gains
from tools.show_results import replication_words

NAMES = ("stable_score", "h_std", "soft_dice")

SURE = [("model", "h_std"), ("model", "sam_score_gain"), ("task", "delta_a_star_ours")]

ROWS = pd.DataFrame(
    [
        *(("selected", task, name, "better") for task, name in SURE[::-1]),
        ("selected", "task", "h_a", "better"),
        ("selected", "prompt", "h_std", "no better"),
        ("best", "prompt", "stable_score", "better"),
    ],
    columns=["protocol", "task", "measure", "verdict"],
)


def test_measures_of_a_scene_are_those_of_extraction_and_entropy() -> None:
    sam, scene = trained_mini(), draw_scene(11, 256)
    clicks = measure_objects((mask, 0) for mask in scene.masks).point_px
    request = Request(clicks, scene.masks, default_view("identity"), PROMPTS)
    rows = extract_objects(sam, sam.encode(scene.rgb), request, batch=4, with_masks=True)
    cell = CellRows(rows["mask_code"], rows["sam_score"], rows["iou"])
    truth = np.ones((len(clicks), *rows["mask_code"].shape[-2:]), bool)
    arrays = object_arrays(
        lambda *_: cell, truth.__getitem__, models=("tiny",), views=("identity",), block_objects=9
    )
    heads, names = read_head_file(shipped_heads()), ["sam_score", "h_std", "soft_dice", "usam_ours"]
    answer = measures({"tiny": sam}, heads, (scene.rgb, scene.masks), names)["tiny"]
    h_std, soft_dice = (
        arrays[name][:, JUDGED.index("selected"), 0] for name in ("h_std", "soft_dice")
    )
    proposals = ProposalScores(
        *(rows[name][:, k] for k in (0, -1) for name in ("iou", "sam_score"))
    )
    refined = proposals.judged_refined_iou("selected")
    np.testing.assert_allclose(answer["h_std"], h_std, atol=1e-5)
    np.testing.assert_allclose(1 - answer["soft_dice"], soft_dice, atol=1e-5)
    np.testing.assert_allclose(answer["best"], rows["iou"][:, 0].max(axis=1), atol=1e-5)
    np.testing.assert_allclose(answer["refined_selected"], refined, atol=1e-5)
    np.testing.assert_allclose(answer["sam_score"], 1 - rows["sam_score"][:, 0].max(1), atol=1e-5)


def test_margins_are_those_of_the_stage_evaluate() -> None:
    scores = {model: random_scores(seed, n_objects=60) for seed, model in enumerate(MODELS)}
    scene = np.arange(60) // 3
    resamples = resample_groups(scene, N_RESAMPLES, seed=0)
    evaluated = {
        (keys.task, keys.model, keys.measure): statistics["margin"]
        for keys, statistics in by_keys(auc_scores(scores, resamples), resamples).items()
        if keys.protocol == "selected"
    }
    by_model = {
        model: {
            **of_model.proposals.by_proposal(),
            **{
                name: BY_NAME[name].compute(Evidence(model, "selected", of_model))
                for name in (BASELINE, *NAMES)
            },
            "image": scene,
        }
        for model, of_model in scores.items()
    }
    for task in TASKS:
        for measure in NAMES:
            model = default_model(task, MODELS)
            score = evaluated[task, model, measure]
            expected = (score.value, score.interval.low, score.interval.high)
            margins = resampled_margins(by_model, task, model, measure)
            ends = interval(margins, len(np.unique(scene)))
            found = (margins[0], ends.low, ends.high)
            np.testing.assert_allclose(found, 100 * np.array(expected), atol=1e-9)


def test_the_table_is_of_the_scenes_of_all_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- replication -->\n<!-- /replication -->\n", encoding="utf-8")
    few = {"PAGE": page, "N_SCENES": 3, "MODELS": ("tiny", "large"), "SEEDS": (31, 32)}
    few["read_compared"] = lambda _: (None, ROWS)
    for name, value in few.items():
        monkeypatch.setattr(show_replication, name, value)
    monkeypatch.chdir(ROOT)
    show_replication.main()
    n_objects = sum(
        len(draw_scene(scene, 256).masks)
        for seed in (31, 32)
        for scene in scene_seeds(seed, "further", 3)
    )
    _, header, _, *lines = read_block(page, "replication").splitlines()
    assert header.endswith(f" | {n_objects} objects |")
    assert [line.strip("| ").split(" | ")[:3] for line in lines] == [
        [TASK_LABELS[task], starred(measure_label(measure)), model]
        for task, measure in SURE
        for model in (("tiny",) if task == "model" else ("tiny", "large"))
    ]


def test_sure_gains_are_those_that_one_click_and_the_heads_that_ship_tell() -> None:
    found = sure_gains(ROWS)
    assert [(task, name) for task, names in found.items() for name in names] == SURE


def test_a_gain_counts_for_the_model_that_readme_shows() -> None:
    header = ("task", "measure", "model", "9 objects")
    gains = {"tiny": "+1.0 (+0.5 to +1.5)", "large": "+0.1 (−0.2 to +0.4)"}
    rows = [["Segmentation", "H_Std", model, gain] for model, gain in gains.items()]
    margin = {"margin": 0.5, "margin_low": 0.2, "margin_high": 0.8}
    sure = {"protocol": "selected", "verdict": "better", "measure": "h_std", **margin}
    own = pd.DataFrame([{**sure, "task": "segmentation", "model": "large"}])
    assert replication_words(own, table(header, rows), 5) == (
        "of 1 sure gains in the table, 0 show again on 9 objects of fresh scenes; "
        "not that of H_Std in Segmentation for large: +0.1 points (−0.2 to +0.4) there; "
        "pooled with these 5 images, which found it, +0.3 points (+0.1 to +0.5), so it is small, "
        "but above 0."
    )
    rows = [["Task", *cells] for _, *cells in rows]
    of_task = own.assign(task="task", model="tiny")
    words = replication_words(of_task, table(header, rows), 5)
    assert words.endswith(" 1 show again on 9 objects of fresh scenes.")
    unmeasured = pd.concat([of_task, of_task.assign(measure="h_a")])
    words = replication_words(unmeasured, table(header, rows), 5)
    assert words.startswith("of 2 sure gains in the table, 1 show again on ")
    assert words.endswith("; 1 were not measured.")
