"""Masks of a split to review come from its cells in the cache, judged by a file of heads."""

from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from pycocotools.coco import COCO
from typer.testing import CliRunner, Result

from pipeline.predictor import UncertainPredictor
from stages.cli.app import app
from stages.predictor.command_options import ModelOptions
from stages.review.split_source import cached_answers, read_split
from stages.settings.params import read_params
from stages.settings.parsing import ParamsError
from stages.web.page_state import PageState
from storage.outputs.results import read_annotations
from storage.paths import results_dir
from storage.rle import decode_rle
from storage.split.object_table import read_objects_of
from tests.fixtures.predictors import write_random_heads
from tests.fixtures.split_cells import N_CHANNELS
from tests.fixtures.web_page import asked, question
from tests.stages.test_gallery import SPLIT, write_project


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a split of six objects in three images, and heads that learned nothing."""
    root = tmp_path_factory.mktemp("split")
    with chdir(root):
        write_project(root)
        write_random_heads(root / "heads.safetensors", n_channels=N_CHANNELS)
    return root


def review(root: Path, *arguments: str) -> Result:
    with chdir(root):
        return CliRunner().invoke(app, ["review", *arguments])


def test_the_selected_masks_of_the_cache_are_reviewed_without_a_model(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(UncertainPredictor, "set_image")
    arguments = (SPLIT, "--heads", "heads.safetensors", "--export", "reviewed.json")
    result = review(root, *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == "reviewed.json: 6 masks, 0 looked at\n"
    coco = COCO(str(root / "reviewed.json"))
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = decode_rle(annotation["segmentation"]["counts"], 64, 64)
        rows = np.flatnonzero(mask.any(axis=1))
        assert (rows[0], rows[-1]) == (32, 47)  # of proposal 2, which is selected
        assert annotation["attributes"]["sam_score"] == 0.75
    with chdir(root):
        source = read_split(SPLIT)
        choice = ModelOptions("mini", heads=Path("heads.safetensors")).choose()
        image = source.prompted[1]
        entries = cached_answers(SPLIT, choice)(np.zeros((64, 64, 3), np.uint8), image)
    assert [entry["annotation_id"] for entry in entries] == [102, 103]
    assert [prompt.clicks for prompt in image.prompts] == [((32.0, 32.0),)] * 2


def test_masks_of_the_cache_by_other_weights_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "mine.pt").write_bytes(b"weights")
    with chdir(root):
        params = read_params()
        choice = ModelOptions("mini", heads=Path("heads.safetensors")).choose()
        own = replace(params, extract=replace(params.extract, weights={"tiny": "mine.pt"}))
        monkeypatch.setattr("stages.review.split_source.read_params", lambda: own)
        with pytest.raises(ParamsError, match=r"--weights must be mine\.pt, with which"):
            cached_answers(SPLIT, choice)


def test_without_weights_masks_of_the_cache_are_shown_and_a_click_names_the_command_for_weights(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[PageState] = []
    monkeypatch.setattr("stages.web.server.serve", lambda page, _: served.append(page))
    monkeypatch.setattr("storage.checkpoints.weights._there", lambda _: None)
    result = review(root, SPLIT, "--heads", "heads.safetensors", "--port", "0")
    assert result.exit_code == 0, result.output
    (page,) = served

    async def ask(client: httpx.AsyncClient) -> httpx.Response:
        mask = (await client.get("/api/review/masks/0")).json()
        asking = question((32, 32, 1), model="tiny", heads="heads")
        return await client.post(f"/api/images/{mask['image']}/answer", json=asking)

    with chdir(root):
        response = asked(page, ask)
    page.close()
    assert response.status_code == 400
    assert "must exist, got no file: run git" in response.json()["error"]


def test_a_page_of_masks_of_the_cache_loads_no_model_before_a_prompt(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.web.server.serve", lambda *_, **__: None)
    monkeypatch.delattr("stages.web.page_state.load_chosen")
    result = review(root, SPLIT, "--heads", "heads.safetensors", "--port", "0")
    assert result.exit_code == 0, result.output


def test_another_name_and_foreign_heads_are_refused(root: Path) -> None:
    result = review(root, "none")
    assert result.stderr == (
        "error: source must be a folder, a COCO file, or a split (val), got 'none'\n"
    )
    result = review(root, SPLIT, "--prompt", "box")
    assert result.stderr == "error: --prompt must come with a COCO file, got the split val\n"
    with chdir(root):
        write_random_heads(Path("foreign.safetensors"), changes={"precision": "bf16"})
    result = review(root, SPLIT, "--heads", "foreign.safetensors", "--out", "other")
    assert result.exit_code == 1
    assert "precision (bf16 -> fp32)" in result.stderr


def test_a_split_whose_images_lie_at_an_address_is_refused(root: Path) -> None:
    images = (root / "data").rename(root / "elsewhere")
    (root / "data").write_text("s3://lab/val\n")
    result = review(root, SPLIT, "--heads", "heads.safetensors")
    (root / "data").unlink()
    images.rename(root / "data")
    assert (
        result.stderr == "error: split must have its images in a folder, got an address in data\n"
    )


def test_annotations_come_in_the_order_of_their_doubt_and_with_their_ids(root: Path) -> None:
    arguments = (SPLIT, "--annotations", "--heads", "heads.safetensors")
    result = review(root, *arguments, "--export", "annotations.json")
    assert result.exit_code == 0, result.output
    coco = COCO(str(root / "annotations.json"))
    entries = coco.loadAnns(coco.getAnnIds())
    with chdir(root):
        table = read_annotations(results_dir(SPLIT))
        truth = read_objects_of(SPLIT)
    assert [entry["annotation_id"] for entry in entries] == table["object_id"].tolist()
    for entry, row in zip(entries, table["row"], strict=True):
        assert entry["segmentation"]["counts"] == truth.mask_rle[row]
    assert (root / "val.annotations.review").is_dir()
    refused = review(root, "data", "--annotations")
    assert (
        refused.stderr == "error: --annotations must come with a split of params.yaml, got data\n"
    )
