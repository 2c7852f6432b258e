"""A user's own weights in place of a family's, and what is answered without heads."""

import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sam2.utils.amg import calculate_stability_score
from typer.testing import CliRunner

from pipeline.predictor import UncertainMaskGenerator, UncertainPredictor
from pipeline.predictor.advice import NONE
from stages.cli.app import app
from stages.extraction.models import kept_model
from stages.predictor.loading import from_pretrained, load_predictor
from stages.settings.params import read_params
from stages.settings.parsing import ParamsError
from stages.settings.signatures import weights_name
from storage.checkpoints.weights import checkpoint
from storage.errors import DataError, WeightsError
from storage.folders import sha256_file
from storage.head_files.head_file import shipped_heads
from storage.images.image_files import png_bytes
from tests.fixtures.predictors import (
    built_mini,
    drawn,
    mini_predictor,
    trained_mini,
    write_random_heads,
)
from tests.fixtures.signatures import extract_params

CLICK = ([[120.0, 80.5]], [1])


def changed_weights(model: str = "tiny", scale: float = 1.01) -> dict[str, torch.Tensor]:
    """Weights of a mini model, as further training could leave them."""
    return {name: scale * value for name, value in built_mini(model).state_dict().items()}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of own weights in the working directory."""
    monkeypatch.chdir(tmp_path)
    torch.save({"model": changed_weights(), "epoch": 3}, "mine.pt")
    return Path("mine.pt")


def test_own_weights_answer_all_that_needs_no_heads_and_say_how_to_get_them(mine: Path) -> None:
    predictor = load_predictor("mini", "tiny", weights=mine)
    predictor.set_image(drawn())
    found = predictor.predict_uncertainty(*CLICK)
    own = UncertainPredictor(trained_mini(), predictor.heads)
    own.set_image(drawn())
    assert not np.array_equal(found.sam_score, own.predict_uncertainty(*CLICK).sam_score)
    for of_heads in ("expected_iou", "gap", "direct_gap", "choice", "is_kept", "mask_set"):
        assert getattr(found, of_heads) is None, of_heads
    assert (found.advice.correction, found.advice.expected_iou) == (NONE, None)
    assert found.unlike_training is None
    assert found.caution.startswith("no heads learned from the weights mine.pt")
    fit = "heads fit IMAGES ANNOTATIONS --family mini --model tiny --weights mine.pt --out FILE`"
    assert fit in found.caution
    assert ((found.h_std > 0) & (found.h_std < 1)).all()
    logits = torch.from_numpy(found.logits)
    expected = calculate_stability_score(logits, 0.0, 1.0).numpy()
    np.testing.assert_allclose(found.stability, expected, atol=1e-7)
    best = found.best_mask
    assert best.proposal == found.selected
    score = found.sam_score[best.proposal] * found.stability[best.proposal]
    assert found.score_of(best) == pytest.approx(score)
    values = found.to_dict()
    assert values["proposals"][0]["expected_iou"] is values["proposals"][0]["gap"] is None
    records = UncertainMaskGenerator(
        predictor, points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0
    ).generate(drawn())
    assert records
    assert {record["expected_iou"] for record in records} == {None}
    assert not Path("mine.pt.sha256").exists(), "nothing is written beside a user's file"


def test_heads_follow_the_weights_and_not_the_name_of_their_file(mine: Path) -> None:
    listed = checkpoint("mini", "tiny").path
    copy = Path(shutil.copy(listed, "copy.safetensors"))
    assert load_predictor("mini", "tiny", weights=copy).heads.head_set is not None
    digests = f"({sha256_file(listed)} -> {sha256_file(mine)})"
    for heads in (shipped_heads(), write_random_heads(Path("a.safetensors"))):
        with pytest.raises(DataError, match=re.escape(f"weights_tiny {digests}")):
            load_predictor("mini", "tiny", weights=mine, heads=heads)
        with pytest.warns(UserWarning, match="weights_tiny"):
            load_predictor("mini", "tiny", weights=mine, heads=heads, strict=False)
    fit = {"weights_tiny": sha256_file(mine)}
    heads = write_random_heads(Path("mine.safetensors"), changes=fit)
    assert load_predictor("mini", "tiny", weights=mine, heads=heads).heads.head_set is not None


def test_from_pretrained_is_a_class_method_too_and_asks_for_no_heads(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def loaded(*names: str, **options: object) -> UncertainPredictor:
        asked.append((*names, options))
        return mini_predictor()

    monkeypatch.setattr("stages.predictor.loading.load_predictor", loaded)
    for load in (from_pretrained, UncertainPredictor.from_pretrained):
        load("facebook/sam2.1-hiera-tiny", weights=mine)
    assert asked == [("sam2.1", "tiny", {"weights": mine})] * 2


class Dangerous:
    """Unpickled, it writes a file."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (Path("run"), "")


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: path.unlink(), "must exist, got no file: name a file that is there"),
    "text": (lambda path: path.write_text("weights"), "must hold the tensors of a model, got"),
    "empty": (lambda path: path.write_bytes(b""), "must hold the tensors of a model, got"),
    "list": (lambda path: torch.save([1], path), "must hold the tensors of a model, got"),
    "no tensors": (
        lambda path: torch.save({"a": 1}, path),
        "must hold the tensors of a model, got 'a', no",
    ),
    "code": (
        lambda path: path.write_bytes(pickle.dumps({"model": Dangerous()})),
        "must hold the tensors of a model, got",
    ),
    "saved code": (
        lambda path: torch.save({"model": Dangerous()}, path),
        "must hold the tensors of a model, got",
    ),
    "larger": (
        lambda path: torch.save(changed_weights("large"), path),
        "must fit the model's architecture, got",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_without_weights_of_the_model_is_refused_and_runs_nothing(
    case: str, mine: Path
) -> None:
    spoil, message = UNUSABLE[case]
    spoil(mine)
    with pytest.raises(WeightsError, match=rf"mine\.pt {message}"):
        load_predictor("mini", "tiny", weights=mine)
    assert not Path("run").exists()


@pytest.mark.parametrize("folder", [".", "/"])
def test_a_folder_is_no_file_of_weights(folder: str) -> None:
    with pytest.raises(WeightsError, match=f"^{re.escape(folder)} must exist, got no file"):
        load_predictor("mini", "tiny", weights=folder)


def test_safetensors_are_read_and_damaged_ones_are_refused(mine: Path) -> None:
    path = mine.with_suffix(".safetensors")
    save_file(changed_weights(), path)
    assert load_predictor("mini", "tiny", weights=path).heads.head_set is None
    path.write_bytes(b"weights")
    with pytest.raises(WeightsError, match=r"mine\.safetensors must hold the tensors of a model"):
        load_predictor("mini", "tiny", weights=path)


def test_weights_of_a_project_that_change_or_move_are_noticed(mine: Path) -> None:
    params = extract_params(family="mini", weights={"tiny": "mine.pt"}, device="cpu")
    before = sha256_file(mine)
    assert weights_name(params, "tiny") == before
    assert weights_name(params, "large") == checkpoint("mini", "large").sha256
    kept_model.cache_clear()
    kept_model(params, "tiny", "cpu")
    assert Path("mine.pt.sha256").read_text() == f"{before}\n"
    torch.save(changed_weights(scale=1.02), mine)
    both = f"mine.pt must have sha256 {before}, got {sha256_file(mine)}: bring that file back, or"
    kept_model.cache_clear()
    with pytest.raises(WeightsError, match=re.escape(both)):
        kept_model(params, "tiny", "cpu")
    mine.unlink()
    assert weights_name(params, "tiny") == before, "stages that run no model need no weights"
    with pytest.raises(WeightsError, match=r"^mine\.pt must exist, got no file: bring that file"):
        kept_model(params, "tiny", "cpu")
    Path("mine.pt.sha256").unlink()
    with pytest.raises(WeightsError, match=r"^mine\.pt must exist, got no file: name a file"):
        weights_name(params, "tiny")


def test_usam_predict_says_once_that_there_are_no_heads(mine: Path) -> None:
    Path("a.png").write_bytes(png_bytes(drawn()))
    command = ["predict", "a.png", "--click", "120,80", "--family", "mini", "--weights", str(mine)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert "stability" in result.stdout
    assert "expected" not in result.stdout
    told = result.stdout + result.stderr
    assert told.count("no heads learned from the weights mine.pt") == 1


@pytest.mark.usefixtures("mine")
def test_one_file_for_several_models_is_refused_where_settings_are_read() -> None:
    root = Path(__file__).parents[3]
    text = (root / "params.yaml").read_text("utf-8")
    Path("versions.yaml").write_bytes((root / "versions.yaml").read_bytes())
    old = "weights: file "
    for new, message in (
        ("weights: mine.pt", r"extract\.weights must be by model \(tiny: mine\.pt\)"),
        ("weights: {huge: mine.pt}", r"extract\.weights must be by models of the family"),
        (
            "weights: {tiny: mine}",
            r"extract\.weights must be file, random-SEED, .* got \{'tiny': 'mine'",
        ),
    ):
        Path("params.yaml").write_text(text.replace(old, f"{new} "), "utf-8")
        with pytest.raises(ParamsError, match=message):
            read_params()
    Path("params.yaml").write_text(text.replace(old, "weights: {tiny: mine.pt} "), "utf-8")
    assert read_params().extract.weights == {"tiny": "mine.pt"}
    assert hash(read_params().extract)
