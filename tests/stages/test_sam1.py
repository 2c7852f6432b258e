"""SAM 1 from images to entropies and heads: images of any shape, and no object score."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from pipeline.heads.kinds import KINDS_BY_NAME
from pipeline.heads.predict import n_inputs
from pipeline.sam.building import build
from pipeline.sam.families import FAMILIES, models_of
from pipeline.scenes.scene import draw_scene
from stages import entropy, extract
from stages.cli.app import app
from stages.predictor.loading import load_predictor
from storage.head_files.head_file import read_head_file
from storage.paths import features_path
from storage.store import opening
from tests.fixtures.extract_project import IMAGES, SPLIT, draw_project, run
from tests.fixtures.transformers_models import small_families

pytestmark = pytest.mark.no_cover


@contextmanager
def full_size() -> Iterator[None]:
    """The smallest model alone: the others would take an hour."""
    row = FAMILIES["sam1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "sam1", replace(row, models={"vit_b": row.models["vit_b"]}))
        yield


@pytest.mark.parametrize(
    "size", [small_families, pytest.param(full_size, marks=pytest.mark.full_size)]
)
def test_from_images_to_heads_that_judge_a_click(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: Callable[[], AbstractContextManager[None]],
) -> None:
    monkeypatch.chdir(tmp_path)
    with size():
        draw_project(family="sam1")
        for model, view in product(models_of("sam1"), ("identity", "vflip", "gnoise")):
            run(extract, SPLIT, model, view)
        run(entropy, SPLIT)
        features = opening.open_features(features_path(SPLIT, "vit_b", "identity"))
        assert "object_score" not in features
        channels = FAMILIES["sam1"].n_channels
        assert features["mask_token"].sizes["channel"] == channels
        save_file(build("sam1", "vit_b", seed=1).state_dict(), "mine.safetensors")
        fit = ["heads", "fit", str(IMAGES), "annotations.json", "--family", "sam1"]
        fit += ["--model", "vit_b", "--weights", "mine.safetensors", "--out", "my.safetensors"]
        result = CliRunner().invoke(app, fit)
        assert result.exit_code == 0, result.output
        predictor = load_predictor(
            "sam1", "vit_b", weights="mine.safetensors", heads="my.safetensors"
        )
        predictor.set_image(draw_scene(3, 96).rgb[:60].copy())
        answer = predictor.predict_uncertainty([[40, 30]], [1])
    assert answer.expected_iou is not None
    assert answer.masks.shape == (3, 60, 96)
    fitted = read_head_file(Path("my.safetensors")).weights.values()
    (width,) = {head["layers.0.weight"].shape[1] for head in fitted}
    assert width == n_inputs(KINDS_BY_NAME["ours"], channels, has_object_score=False)
