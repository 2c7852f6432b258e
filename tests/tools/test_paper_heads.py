"""Numbers of the published heads, against the paper's definitions on made-up features."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from pipeline.heads.predict import predict
from pipeline.scoring.auc import correction_auc
from pipeline.vocabulary import PROMPTS
from stages.predictor.published import HEAD_SET
from stages.settings.params import read_params
from storage.head_files.head_file import HeadFile, read_head_set
from storage.paths import features_path, objects_path
from storage.split.object_table import write_objects
from tests.fixtures.eval_split import write_features, write_heads, write_params
from tests.fixtures.made_up_objects import object_table
from tests.fixtures.mini import MODELS
from tools.paper_heads import relative_aucs

SPLIT = "coco_val"
N_OBJECTS = 40


@pytest.fixture
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HeadFile:
    """Heads of protocol ``best``; the working directory has the features of a split."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, [SPLIT])
    write_heads(tmp_path, "shapes_train")
    write_objects(objects_path(SPLIT), object_table(N_OBJECTS), {"split": SPLIT, "group": "image"})
    for model in MODELS:
        write_features(SPLIT, model, N_OBJECTS)
    return read_head_set("shapes_train", HEAD_SET)


def features(model: str) -> dict[str, Any]:
    """Arrays of the first click, and the best and the selected proposal of every object."""
    group = zarr.open_group(features_path(SPLIT, model, "identity"), mode="r")
    names = ("iou", "sam_score", "iou_token", "mask_token")
    arrays = {name: np.asarray(group[name])[:, PROMPTS.index("center")] for name in names}
    best, selected = (arrays[name].argmax(axis=1) for name in ("iou", "sam_score"))
    return {**arrays, "best": best, "selected": selected}


def test_measures_read_the_mask_token_that_the_authors_pair_with_a_proposal(
    heads: HeadFile,
) -> None:
    tiny, large = features("tiny"), features("large")
    rows = np.arange(N_OBJECTS)
    predicted = {}
    for judged in ("best", "selected"):
        mask_token = tiny["mask_token"][rows, tiny[judged]]
        predicted[judged] = predict(
            heads.weights, np.concatenate([tiny["iou_token"], mask_token], axis=1)
        )
    iou = {judged: tiny["iou"][rows, tiny[judged]] for judged in ("best", "selected")}
    of_best = predicted["best"]
    by_hand = {
        ("model", "delta_theta"): correction_auc(
            iou["best"],
            large["iou"].max(axis=1),
            of_best["iou_large"].astype(float) - of_best["iou_tiny"],
        ),
        ("task", "delta_a_star_known"): correction_auc(
            iou["selected"], iou["best"], of_best["task_gap"]
        ),
        ("task", "delta_a_star"): correction_auc(
            iou["selected"], iou["best"], predicted["selected"]["task_gap"]
        ),
    }
    relative = relative_aucs(heads, SPLIT, read_params())
    for key, area in by_hand.items():
        assert relative[key] == pytest.approx(100 * area.relative, abs=1e-3)
    assert {task for task, _ in relative} == {"model", "prompt", "task", "segmentation"}
