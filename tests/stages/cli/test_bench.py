"""``usam bench`` on the mini models."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from pipeline.runtime import METHODS
from stages.cli.app import app
from stages.extraction.models import device_name
from stages.page.labels import METHOD_LABELS
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.settings import write_versions


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one mini model with random weights."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params |= {"models": ["tiny"], "train_splits": []}
    params["extract"] |= {"family": "mini", "weights": "random-0", "device": "cpu"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    write_versions(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def bench(*options: str) -> str:
    result = CliRunner().invoke(app, ["bench", "--repeats", "6", *options])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.usefixtures("root")
def test_every_method_is_timed_and_the_machine_is_named() -> None:
    Image.fromarray(np.zeros((40, 64, 3), np.uint8)).save("mine.png")
    said = bench("--csv", "told/runtime.csv", "--image", "mine.png", "--precision", "bf16")
    table = pd.read_csv("told/runtime.csv")
    assert table["method"].tolist() == list(METHODS)
    assert set(table["model"]) == {"tiny"}
    assert (table["seconds"] > 0).all()
    assert (table["ratio"][0], table["ratio_low"][0], table["ratio_high"][0]) == (1, 1, 1)
    (threads,) = set(table["torch_threads"])
    assert threads == torch.get_num_threads()
    assert set(table["heads"]) == {"random"}
    facts = (device_name(torch.device("cpu")), f"torch threads {threads}", "heads random")
    for text in ("tiny", *facts, "precision bf16", "image mine.png", *METHOD_LABELS.values()):
        assert text in said
