"""``usam heads fit``: heads of a user's images are those of the stages, and what they are worth."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from pipeline.heads.objectives import N_FOLDS, fold_by_group
from pipeline.heads.scope import DRAWN_SHAPES
from pipeline.scenes.placement import CATEGORIES
from pipeline.scenes.scene import draw_scene, scene_seeds
from pipeline.scoring.auc import correction_auc
from pipeline.scoring.measures import BY_NAME
from pipeline.vocabulary import USED, objectives_of
from stages import extract_train, own_heads, prepare, train, tune
from stages.cli.heads import app
from stages.cli.heads_fit import _settings
from stages.extraction import models
from stages.predictor.command_options import ModelOptions
from stages.predictor.loading import load_predictor
from stages.predictor.model_choice import OF_USERS
from stages.settings.signatures import train_settings
from stages.training.data import group_index
from storage.coco_writer import write_coco
from storage.errors import DataError
from storage.folders import sha256_file
from storage.head_files.guarantees import CHOICES, ERRORS, evidence_of
from storage.head_files.head_file import UNTESTED, HeadFile, head_set_path, read_head_file
from storage.split.split_cells import open_cells
from tests.fixtures.predictors import built_mini
from tests.fixtures.settings import write_settings

pytestmark = pytest.mark.no_cover

N_IMAGES: Final = 12

SIZE_PX: Final = 128


def draw(n_images: int) -> None:
    """Draw scenes below the working directory, in COCO's layout."""
    scenes = (draw_scene(seed, SIZE_PX) for seed in scene_seeds(5, "train", n_images))
    write_coco(Path("data/shapes/scenes"), Path("scenes.json"), scenes, CATEGORIES)


def as_mask_files(n_images: int) -> None:
    """Write the masks of the same scenes as a folder of files, with a number for each object."""
    Path("masks").mkdir()
    for number, seed in enumerate(scene_seeds(5, "train", n_images), 1):
        values = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
        for value, mask in enumerate(draw_scene(seed, SIZE_PX).masks, 1):
            values[mask] = value
        Image.fromarray(values).save(f"masks/{number:06}.png")


def heads_fit(*options: str, annotations: str = "scenes.json") -> Result:
    words = ["fit", "data/shapes/scenes", annotations, "--out", "my.safetensors", *options]
    return CliRunner().invoke(app, words)


@dataclass(frozen=True)
class Fitted:
    """A folder in which heads were fitted to drawn scenes, and what the command printed."""

    folder: Path
    stdout: str

    @property
    def heads(self) -> HeadFile:
        return read_head_file(self.folder / "my.safetensors")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """Heads of drawn scenes for boxes; the folder is not to be changed."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        draw(N_IMAGES)
        result = heads_fit("--prompt", "box")
    assert result.exit_code == 0, result.output
    return Fitted(folder, result.stdout)


def fail(*_: object) -> None:
    raise AssertionError("no model must be loaded")


def test_the_stages_make_the_same_objects_features_and_heads(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(stage: Callable[[], None], *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["stage", *arguments])
        stage()

    shutil.copytree(fitted.folder / "my.safetensors.work", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    paths = {"images": "data/shapes/scenes", "annotations": "scenes.json"}
    scenes = {name: str(fitted.folder / path) for name, path in paths.items()}
    splits = {name: {"reader": "coco", **scenes} for name in ("scenes", "other")}
    of_splits = {"splits": splits, "train_splits": ["scenes"], "eval_splits": ["other"]}
    own = {"models": ["tiny"], "train_prompts": ["box"], "heads": ["ours"]}
    write_settings(tmp_path, **of_splits, **own)
    monkeypatch.setattr(models, "load_model", fail)
    run(prepare.main, "scenes")
    run(extract_train.main, "scenes", "tiny", "identity")
    for objective in objectives_of(["tiny"]):
        run(tune.main, "scenes", objective)
    run(train.main, "scenes", "ours")
    trained = read_head_file(head_set_path("scenes", OF_USERS))
    assert {*trained.weights} == {*fitted.heads.weights}
    for objective, tensors in trained.weights.items():
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(fitted.heads.weights[objective][name], tensor)
    entries = {"sha256": trained.card["sha256"]}
    assert {**fitted.heads.card, **entries} == {**trained.card, "images": DRAWN_SHAPES}


def test_what_is_printed_of_held_out_images_is_what_the_file_says(fitted: Fitted) -> None:
    card = fitted.heads.card
    (errors,) = (errors for errors in evidence_of(card, ERRORS) if errors.prompt == "box")
    (choice,) = (choice for choice in evidence_of(card, CHOICES) if choice.prompt == "box")
    excess = np.average(errors.excess, weights=errors.n_masks)
    printed = dict(re.findall(r"^(\S.*?)  +(−?\d+\.\d) \(", fitted.stdout, re.MULTILINE))
    assert float(printed["expected less true IoU"].replace("−", "-")) == pytest.approx(
        100 * excess, abs=0.06
    )
    assert float(printed[own_heads.CHOSEN].replace("−", "-")) == pytest.approx(
        100 * choice.gain, abs=0.06
    )
    assert sum("relative AUC over" in label for label in printed) == 6
    page = (fitted.folder / "my.safetensors.html").read_text("utf-8")
    assert all(label in page for label in printed)


def test_heads_that_knew_each_held_out_mask_would_gain_what_its_score_lacks(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fitted.folder)
    choice = ModelOptions().choose(Path("data/shapes"))
    monkeypatch.chdir("my.safetensors.work")
    expected = train_settings(_settings(choice, None), "scenes", ["tiny"], ["box"])
    cells = open_cells("scenes", expected)
    (cell,) = cells.identity.values()
    group, proposals = group_index(cells.table), cell.proposals("box")
    rows = {fold: fold_by_group(group, own_heads.SEED, fold)[1] for fold in range(N_FOLDS)}
    own, iou = OF_USERS.own_objective("tiny"), proposals.judged_iou(USED)

    def knowing(fold: dict[str, int], inputs: np.ndarray) -> dict[str, np.ndarray]:
        right = iou[rows[fold["fold"]]]
        assert len(right) == len(inputs)
        return {name: right if name == own else 0 * right for name in OF_USERS.objectives(["tiny"])}

    gain = SimpleNamespace(prompt="box", gain=0.0, low=0.0, high=0.0)
    monkeypatch.setattr(own_heads, "weights_by_fold", lambda _: {k: {"fold": k} for k in rows})
    monkeypatch.setattr(own_heads, "predict", knowing)
    monkeypatch.setattr(own_heads, "held_out_evidence", lambda *_: ([gain], []))
    figures, _ = own_heads._held_out(cells, OF_USERS, {}, "box")
    sam_score = proposals.judged_sam_score(USED)
    stability = cell.scores("stability_score")[:, cell.signature["prompts"].index("box")]
    stable = sam_score * proposals.of_judged(stability, USED).astype(float)
    for rival, score in (("sam_score", sam_score), ("stable_score", stable)):
        symbol = BY_NAME[rival].symbol
        relative = correction_auc(iou, np.ones(len(iou)), 1 - score).relative
        figure = figures[f"segmentation: relative AUC over {symbol}"]
        assert figure[0] == pytest.approx(100 * (1 - relative))
    assert figures["expected less true IoU"][0] == 0


@pytest.mark.parametrize(
    ("spread", "sentence"),
    [
        (
            0.0,
            "More images would help: heads of half the images lose 20.0 (20.0 to 20.0) points of",
        ),
        (0.3, "More images may or may not help: heads of half the images lose 20.0 ("),
    ],
)
def test_more_images_help_if_heads_of_half_of_them_surely_rank_worse(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spread: float, sentence: str
) -> None:
    ends = spread * np.array([0, *np.linspace(-1, 1, 40)])

    def held_out(*arguments: Any) -> tuple[dict[str, Any], np.ndarray]:  # noqa: ANN401
        is_halved = all(heads.is_halved for heads in arguments[2])
        return {}, 0.5 + 0 * ends if is_halved else 0.7 + ends

    shutil.copytree(fitted.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_heads, "_held_out", held_out)
    assert sentence in heads_fit("--prompt", "box").stdout


def test_the_heads_answer_and_know_what_they_learned(fitted: Fitted) -> None:
    predictor = load_predictor("mini", "tiny", heads=fitted.folder / "my.safetensors")
    assert predictor.heads.prompts == ("center", "refined", "box")
    assert predictor.heads.models == ("tiny",)
    assert predictor.heads.training_images is not None
    predictor.set_image(draw_scene(7, SIZE_PX).rgb)
    found = predictor.predict_uncertainty(box=[20, 20, 90, 90])
    assert found.gap is not None
    assert "model" not in found.gap
    assert "task" in found.gap


def test_a_second_run_extracts_nothing_again(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = (fitted.folder / "my.safetensors").read_bytes()
    monkeypatch.chdir(fitted.folder)
    monkeypatch.setattr(models, "load_model", fail)
    assert heads_fit("--prompt", "box").exit_code == 0
    assert (fitted.folder / "my.safetensors").read_bytes() == former


def test_heads_of_few_images_and_of_own_weights_say_so_with_each_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(3)
    as_mask_files(3)
    torch.save(built_mini("tiny").state_dict(), "mine.pt")
    of_masks = ("--objects", "values", "--weights", "mine.pt")
    result = heads_fit(*of_masks, annotations="masks")
    assert result.exit_code == 0, result.output
    caution = "untested heads: they had 3 images, a test takes 10"
    assert f"The file says so with each answer: {caution}.\n" in result.stdout
    assert "held out" not in result.stdout
    heads = Path("my.safetensors")
    card = read_head_file(heads).card
    assert (card[UNTESTED], card["weights_tiny"]) == (caution, sha256_file(Path("mine.pt")))
    predictor = load_predictor("mini", "tiny", heads=heads, weights="mine.pt")
    predictor.set_image(draw_scene(7, SIZE_PX).rgb)
    assert caution in predictor.predict_uncertainty([[60, 60]], [1]).caution
    with pytest.raises(DataError, match="weights_tiny"):
        load_predictor("mini", "tiny", heads=heads)


def test_a_single_image_and_another_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(1)
    result = heads_fit()
    assert (result.exit_code, "must have objects in at least 2 images" in result.stderr) == (
        1,
        True,
    )
    Path("my.safetensors.html").write_text("<p>mine</p>", "utf-8")
    result = heads_fit()
    assert "my.safetensors.html must be a new file" in result.stderr
    assert json.loads(Path("scenes.json").read_text("utf-8"))
