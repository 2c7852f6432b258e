"""Measures of fresh scenes are those of the stages, and so are their margins over 1 - SamScore."""

from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.entropy.mixture_plan import CellRows
from pipeline.entropy.objects import object_arrays
from pipeline.extraction.predictions import Request, extract_objects
from pipeline.mask_statistics import OF_FEATURES
from pipeline.prompts import measure_objects
from pipeline.proposals import ProposalScores
from pipeline.scenes.scene import draw_scene
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.corrections import auc_scores
from pipeline.scoring.evidence import Evidence, ModelScores
from pipeline.views import default_view
from pipeline.vocabulary import JUDGED, PROMPTS, TASKS
from stages.page.labels import TASK_LABELS, measure_label
from stages.predictor.loading import load_predictor
from tests.fixtures.mini import MODELS
from tests.fixtures.model_scores import random_scores
from tests.fixtures.predictors import trained_mini
from tests.fixtures.scores import by_keys
from tools.answers import CLICK, answers
from tools.blocks import N_RESAMPLES, starred, table
from tools.replication import replication_table
from tools.show_results import replication_words


def test_measures_of_a_scene_are_those_of_extraction_and_entropy() -> None:
    sam, scene = trained_mini(), draw_scene(11, 256)
    clicks = measure_objects((mask, 0) for mask in scene.masks).point_px
    request = Request(clicks, scene.masks, default_view("identity"), PROMPTS)
    rows = extract_objects(sam, sam.encode(scene.rgb), request, batch=4, with_masks=True)
    statistics = {name: rows[name] for name in OF_FEATURES.values()}
    cell = CellRows(rows["mask_code"], rows["sam_score"], rows["iou"], statistics)
    truth = np.ones((len(clicks), *rows["mask_code"].shape[-2:]), bool)
    arrays = object_arrays(
        lambda *_: cell, truth.__getitem__, models=("tiny",), views=("identity",), block_objects=9
    )
    h_std, soft_dice = (
        arrays[name][:, JUDGED.index("selected"), 0] for name in ("h_std", "soft_dice")
    )
    predictor = load_predictor("mini", "tiny")
    answered = answers(predictor, [(scene.rgb, scene.masks)], (CLICK, "refined"))
    clicked, refined = (answered[answered["prompt"] == name] for name in (CLICK, "refined"))
    proposals = ProposalScores(
        *(rows[name][:, k] for k in (0, -1) for name in ("iou", "sam_score"))
    )
    np.testing.assert_allclose(clicked["h_std"], h_std, atol=1e-5)
    np.testing.assert_allclose(clicked["soft_dice"], soft_dice, atol=1e-5)
    np.testing.assert_allclose(clicked["best_iou"], rows["iou"][:, 0].max(axis=1), atol=1e-5)
    np.testing.assert_allclose(refined["iou"], proposals.judged_refined_iou("selected"), atol=1e-5)
    np.testing.assert_allclose(clicked["sam_score"], rows["sam_score"][:, 0].max(1), atol=1e-5)


def fake_answers(scores: ModelScores, scene: np.ndarray) -> pd.DataFrame:
    """Rows of ``answers`` whose measures are those of ``scores``."""
    evidence = Evidence("tiny", "selected", scores)
    proposals, n = scores.proposals, len(scene)
    clicked = {
        "iou": proposals.judged_iou("selected"),
        "best_iou": proposals.judged_iou("best"),
        "sam_score": evidence.sam_score(),
        "stability": evidence.array("stable_score") / evidence.sam_score(),
        "h_std": evidence.array("h_std"),
        "soft_dice": evidence.array("soft_dice"),
    }
    rows = pd.DataFrame({**clicked, "image": scene, "prompt": CLICK, "expected_iou": 0.5})
    rows = rows.assign(**{f"direct gain {task}": np.linspace(0, 1, n) for task in TASKS})
    refined = rows.assign(prompt="refined", iou=proposals.judged_refined_iou("selected"))
    return pd.concat([rows, refined])


def test_margins_are_those_of_the_stage_evaluate() -> None:
    scores = {model: random_scores(seed, n_objects=60) for seed, model in enumerate(MODELS)}
    largest = scores[MODELS[-1]].proposals
    scores = {model: replace(of_model, largest=largest) for model, of_model in scores.items()}
    scene = np.arange(60) // 3
    resamples = resample_groups(scene, N_RESAMPLES, seed=0)
    evaluated = {
        (TASK_LABELS[keys.task], keys.model, starred(measure_label(keys.measure))): (
            statistics["margin"]
        )
        for keys, statistics in by_keys(auc_scores(scores, resamples), resamples).items()
        if keys.protocol == "selected"
    }
    rows = {model: fake_answers(of_model, scene) for model, of_model in scores.items()}
    header, _, *lines = (
        line.strip("| ").split(" | ") for line in replication_table(rows).splitlines()
    )
    assert header[-1] == "60 objects"
    assert {(task, model) for task, _, model, _ in lines} == {
        (label, model)
        for task, label in TASK_LABELS.items()
        for model in (MODELS[:1] if task == "model" else MODELS)
    }
    untrained = [line for line in lines if (line[0], line[2], line[1]) in evaluated]
    untrained = [line for line in untrained if not line[1].endswith(", ours")]
    assert len(untrained) == 4 + 3 * 3 * len(MODELS)
    for task, measure, model, points in untrained:
        score = evaluated[task, model, measure]
        numbers = (100 * score.value, 100 * score.interval.low, 100 * score.interval.high)
        expected = "{:+.1f} ({:+.1f} to {:+.1f})".format(*numbers)
        assert points == expected.replace("-", "−")


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
