"""The page with the three models of SAM 1, whose weights are random."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image

from pipeline.sam.building import build
from pipeline.sam.families import models_of
from stages.predictor.command_options import ModelOptions
from stages.predictor.loading import load_predictor
from stages.web.page_state import PageState
from storage.checkpoints import weights
from storage.folders import sha256_file
from tests.fixtures import chromium
from tests.fixtures.chromium import answered, drop, tab
from tests.fixtures.transformers_models import small_families
from tests.fixtures.web_page import png
from tools.served_page import served

pytestmark = pytest.mark.slow

PHOTOGRAPH = load_sample_image("china.jpg")
MODELS = models_of("sam1")
PATIENCE_S = 1200
"""`vit_h` takes more than a minute for an image."""


def write_weights() -> None:
    """Write a file of weights for each model, and the table that lists them."""
    lines = ["model,config,file,bytes,sha256,folder"]
    for seed, model in enumerate(MODELS):
        path = Path("checkpoints/sam1", f"{model}.safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(build("sam1", model, seed=seed).state_dict(), path)
        lines.append(f"{model},,{path.name},{path.stat().st_size},{sha256_file(path)},sam1")
    Path("sam1.csv").write_text("\n".join(lines), "utf-8")


@pytest.mark.parametrize(
    "size", [small_families, pytest.param(nullcontext, marks=pytest.mark.full_size)]
)
def test_each_model_answers_a_click_on_a_photograph(
    browser: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: Callable[[], AbstractContextManager[None]],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "TABLES", tmp_path)
    monkeypatch.setattr(chromium, "PATIENCE_S", PATIENCE_S)
    with size():
        write_weights()
        shown = {}
        with served(PageState(ModelOptions("sam1"))) as address, tab(browser, address) as page:
            assert page.locator("#model option").all_inner_texts() == ["vit b", "vit l", "vit h"]
            drop(page, "china.png", png(PHOTOGRAPH))
            label = "Image china.png, 640 by 427 pixels"
            image = page.get_by_role("application")
            expect(image).to_have_attribute("aria-label", label, timeout=1000 * PATIENCE_S)
            page.locator("#canvas").click()
            answered(page, 1)
            for n_answers, model in enumerate(MODELS, start=2):
                page.get_by_label("Model").select_option(model)
                answered(page, n_answers)
                shown[model] = page.locator("#proposals b").all_inner_texts()
        for model in MODELS:
            predictor = load_predictor("sam1", model)
            predictor.set_image(PHOTOGRAPH)
            expected = predictor.predict_uncertainty([[320, 213.5]], [1]).sam_score
            assert [float(text) for text in shown[model][:3]] == pytest.approx(expected, abs=0.02)
