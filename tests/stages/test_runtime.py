"""The stage ``runtime``: seconds of every model and method, with what they depend on."""

from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pipeline.runtime import METHODS
from stages import runtime
from stages.extraction import timing
from stages.extraction.models import device_name
from storage.outputs.csv_forms import RUNTIME
from storage.outputs.results import read_runtime
from storage.paths import RUNTIME_PATH
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.extract_project import run
from tests.fixtures.settings import write_versions

MODELS = ("tiny", "small")


def write_params(**changes: Any) -> None:  # noqa: ANN401 - a setting each
    """Settings of the repository, of two models and as few rounds as may be."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params |= {"models": list(MODELS), "train_splits": [], "runtime": {"n_repeats": 6}}
    params["extract"] |= {"device": "cpu"} | changes
    Path("params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    write_versions(Path())


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_model_and_method_is_timed_without_weights_or_heads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "perf_counter", partial(next, count(step=0.5)))
    monkeypatch.setattr(timing, "METHODS", dict.fromkeys(METHODS, lambda *_: None))
    write_params(weights="file")
    run(runtime)
    table = read_runtime(RUNTIME_PATH, MODELS)
    assert list(table.columns) == list(RUNTIME.columns)
    assert table["model"].tolist() == [model for model in MODELS for _ in METHODS]
    assert table["method"].tolist() == [*METHODS] * len(MODELS)
    for value, wanted in (("seconds", 0.5), ("ratio", 1)):
        assert (table[[value, f"{value}_low", f"{value}_high"]] == wanted).all(axis=None)
    assert table[list(RUNTIME.columns[8:])].drop_duplicates().to_dict("records") == [
        {
            "family": "mini",
            "weights": "random",
            "heads": "random",
            "precision": "fp32",
            "device": device_name(torch.device("cpu")),
            "torch_threads": torch.get_num_threads(),
            "image": "drawn scene",
            "repeats": 6,
        }
    ]
