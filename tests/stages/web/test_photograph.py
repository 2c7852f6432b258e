"""A photograph in three commands: what they fetch, the page that follows, a click, an answer."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import torch
from playwright.sync_api import Browser, expect
from sklearn.datasets import load_sample_image
from typer.testing import CliRunner

from pipeline.sam.building import build
from pipeline.sam.families import FAMILIES
from stages.cli.app import app
from stages.predictor.command_options import ModelOptions
from stages.predictor.loading import load_predictor
from stages.predictor.published import THEIR_NAMES
from stages.web.page_state import PageState, offered_heads
from storage.checkpoints import weights
from storage.folders import sha256_file
from storage.head_files import published_heads
from tests.fixtures.chromium import answered, drop, tab
from tests.fixtures.driven import PATIENCE_S
from tests.fixtures.file_server import file_server
from tests.fixtures.predictors import random_heads
from tests.fixtures.web_page import png
from tools.served_page import served

pytestmark = pytest.mark.full_size

FAMILY: Final = "sam2.1"
FILE: Final = "sam2.1_hiera_tiny.pt"
PHOTOGRAPH: Final = load_sample_image("china.jpg")


@pytest.fixture
def _servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Meta's server with the tiny model, and the authors' with nine heads; all of it is random."""
    folder = tmp_path / "served"
    (folder / "092824").mkdir(parents=True)
    torch.save({"model": build(FAMILY, "tiny", seed=0).state_dict()}, folder / "092824" / FILE)
    tables = tmp_path / "tables"
    tables.mkdir()
    lines = (weights.TABLES / f"{FAMILY}.csv").read_text("utf-8")
    listed = str(weights.checkpoint(FAMILY, "tiny").sha256)
    lines = lines.replace(listed, sha256_file(folder / "092824" / FILE))
    (tables / f"{FAMILY}.csv").write_text(lines, "utf-8")
    monkeypatch.setattr(weights, "TABLES", tables)
    monkeypatch.setattr(published_heads, "TABLE", serve_heads(folder, tables / "heads.csv"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with file_server(folder) as url:
        monkeypatch.setattr(weights, "META_URL", url)
        monkeypatch.setattr(published_heads, "BASE_URL", url)
        yield


def serve_heads(folder: Path, table: Path) -> Path:
    """Put heads as their authors write them into a folder; the table that lists them."""
    heads = random_heads(protocol="best", n_channels=FAMILIES[FAMILY].n_channels).weights
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("family", "name", "path", "bytes", "sha256"))
        for objective, name in THEIR_NAMES.items():
            path = folder / name / "model.pth"
            path.parent.mkdir()
            tensors = {key: torch.from_numpy(own) for key, own in heads[objective].items()}
            torch.save(tensors, path)
            size = path.stat().st_size
            writer.writerow((FAMILY, name, path.relative_to(folder), size, sha256_file(path)))
    return table


@pytest.mark.usefixtures("_servers")
def test_three_commands_take_a_photograph_to_a_model_that_was_fetched(browser: Browser) -> None:
    for command in ("usam checkpoints fetch sam2.1 --model tiny", "usam heads fetch sam2.1"):
        result = CliRunner().invoke(app, command.split()[1:])
        assert result.exit_code == 0, result.stderr
    (heads,) = offered_heads(None, FAMILY)
    with served(PageState(ModelOptions(family=FAMILY))) as address, tab(browser, address) as page:
        assert page.locator("#model option").all_inner_texts() == ["tiny"]
        assert page.locator("#heads option").all_inner_texts() == [
            "sam2.1, published, paper, best masks"
        ]
        drop(page, "china.png", png(PHOTOGRAPH))
        label = "Image china.png, 640 by 427 pixels"
        expect(page.get_by_role("application")).to_have_attribute(
            "aria-label", label, timeout=1000 * PATIENCE_S
        )
        expect(page.locator("#drawn-only")).to_be_hidden()
        page.locator("#canvas").click()
        answered(page, 1)
        expect(page.locator("#caution")).to_be_hidden()
        shown = page.locator("#proposals b").all_inner_texts()
    predictor = load_predictor(FAMILY, "tiny")
    predictor.set_image(PHOTOGRAPH)
    found = predictor.predict_uncertainty([[320, 213.5]], [1])
    assert [float(text) for text in shown] == pytest.approx(found.expected_iou.own, abs=0.02)
    Path("china.png").write_bytes(png(PHOTOGRAPH))
    asked = ["predict", "china.png", "--click", "320,213.5", "--heads", str(heads)]
    result = CliRunner().invoke(app, asked)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("china.png, 640 x 427 px, sam2.1 tiny\n")
