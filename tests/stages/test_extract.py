"""Stages ``extract`` and ``extract_train``: what a finished cell holds."""

from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from pipeline.masks import CUTS
from pipeline.sam.building import build
from pipeline.vocabulary import PROMPTS, TRAIN_PROMPTS
from stages import extract, extract_train
from storage.paths import features_path, masks_path, objects_path
from storage.split.object_table import ObjectTable, read_objects
from storage.store import opening
from tests.fixtures.extract_project import (
    IMAGES,
    SHARD_OBJECTS,
    SPLIT,
    TRAIN_SPLIT,
    draw_project,
    run,
)
from tests.fixtures.official import OfficialPredictor, check_cell
from tests.fixtures.transformers_models import small_families

VIEWS = ("identity", "vflip", "gnoise")

TRAIN_VIEWS = ("identity", "vflip", "half")

ROWS = (0, 4, 15, 17)
"""Objects compared: at both ends of shards, of one pixel (4), of images of any proportion."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose cells are all extracted."""
    root = tmp_path_factory.mktemp("project")
    with chdir(root):
        draw_project(train_views=TRAIN_VIEWS)
        for view in VIEWS:
            run(extract, SPLIT, "tiny", view)
        for view in TRAIN_VIEWS:
            run(extract_train, TRAIN_SPLIT, "tiny", view)
    return root


@pytest.fixture
def table(finished: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectTable:
    """The split's objects, in the directory of the project."""
    monkeypatch.chdir(finished)
    return read_objects(objects_path(SPLIT))


@pytest.mark.no_cover
@pytest.mark.parametrize("view", VIEWS)
def test_every_array_is_what_the_official_predictor_says_of_one_prompt_at_a_time(
    finished: Path, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    monkeypatch.chdir(finished)
    official = OfficialPredictor(build("mini", "tiny", seed=0).eval())
    check_cell((SPLIT, "tiny", view), IMAGES, official, ROWS)


@pytest.mark.no_cover
def test_every_array_of_sam_3_is_what_the_official_predictor_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with small_families():  # whose masks have other sides than those of mini
        draw_project(family="sam3")
        run(extract, SPLIT, "large", "identity")
        official = OfficialPredictor(build("sam3", "large", seed=0).eval())
    check_cell((SPLIT, "large", "identity"), IMAGES, official, ROWS[:2])


def test_a_train_cell_holds_two_prompt_sets_and_no_masks(table: ObjectTable) -> None:
    features = opening.open_features(features_path(TRAIN_SPLIT, "tiny", "identity"))
    every = opening.open_features(features_path(SPLIT, "tiny", "identity"))
    assert features["prompt"].to_numpy().tolist() == list(TRAIN_PROMPTS)
    assert not masks_path(TRAIN_SPLIT, "tiny", "identity").exists()
    columns = [PROMPTS.index(prompt) for prompt in TRAIN_PROMPTS]
    for name in ("sam_score", "iou", "iou_token", "mask_token", "object_score"):
        assert features[name].sizes["object"] == table.n_objects
        same = every[name].isel(prompt=columns)
        np.testing.assert_allclose(features[name], same, atol=1e-3, err_msg=name)


@pytest.mark.usefixtures("table")
def test_train_cells_of_other_views_are_of_their_own_pixels_and_have_every_cut() -> None:
    of_views = {
        view: opening.open_features(features_path(TRAIN_SPLIT, "tiny", view))
        for view in TRAIN_VIEWS
    }
    flipped = opening.open_features(features_path(SPLIT, "tiny", "vflip"))
    columns = [PROMPTS.index(prompt) for prompt in TRAIN_PROMPTS]
    for name in ("iou", "mask_token"):
        same = flipped[name].isel(prompt=columns)
        np.testing.assert_allclose(of_views["vflip"][name], same, atol=1e-3, err_msg=name)
    for features in of_views.values():
        assert features["iou_at_cut"].sizes["cut"] == len(CUTS)
    tokens = [features["mask_token"].to_numpy() for features in of_views.values()]
    assert all((tokens[0] != other).any() for other in tokens[1:])


@pytest.mark.usefixtures("table")
def test_the_signature_names_all_that_rows_depend_on() -> None:
    signatures = {
        (view, kind): storage_open(path(SPLIT, "tiny", view)).attrs["signature"]
        for view in VIEWS
        for kind, storage_open, path in (
            ("features", opening.open_features, features_path),
            ("masks", opening.open_masks, masks_path),
        )
    }
    identity = signatures["identity", "features"]
    assert {name: value for name, value in identity.items() if "_version" not in name} == {
        "split": SPLIT,
        "family": "mini",
        "model": "tiny",
        "weights": "random, seed 0",
        "view": "identity",
        "view_parameters": "",
        "prompts": list(PROMPTS),
        "precision": "fp32",
        "encoder_batch": 1,
        "decoder_batch": 16,
        "device": "cpu",
        "objects_digest": identity["objects_digest"],
        "shard_objects": SHARD_OBJECTS,
    }
    assert {name for name in identity if "_version" in name} == {
        f"{name}_version"
        for name in (
            *("schema", "extract", "torch", "sam2", "numpy"),
            *("opencv_python_headless", "pillow"),
        )
    }
    noise = {"view": "gnoise", "view_parameters": "variance=5000, seed=0"}
    assert signatures["gnoise", "features"] == identity | noise
    for view in VIEWS:
        assert signatures[view, "masks"] == signatures[view, "features"]
