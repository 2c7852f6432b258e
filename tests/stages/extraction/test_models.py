"""Models as cells are filled with them, their processors, and how long they take."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.extraction import models, timing
from stages.extraction.models import device_name, kept_model
from stages.extraction.timing import median_seconds
from stages.settings.parsing import ParamsError
from tests.fixtures.signatures import extract_params


def test_a_job_without_the_gpu_that_auto_stands_for_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParamsError, match=r"every worker must see a GPU .* executor\.slurm\.gpus"):
        kept_model(extract_params(device="auto"), "tiny", "cuda")
    with pytest.raises(ParamsError, match=r"extract\.device must be auto or cpu"):
        kept_model(extract_params(device="cuda"), "tiny", "cuda")


def test_a_median_leaves_the_first_round_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # Start and end of each run: a round of 9 and 9 s, then rounds of 1 and 2, 3 and 2, 2 and 8.
    ticks = iter(np.cumsum([0, 9, 0, 9, 0, 1, 0, 2, 0, 3, 0, 2, 0, 2, 0, 8]).tolist())
    monkeypatch.setattr(timing, "perf_counter", lambda: next(ticks))
    asked: list[str] = []
    runs = {name: lambda name=name: asked.append(name) for name in "ab"}
    rounds: list[int] = []
    assert median_seconds(runs, 3, rounds.append) == {"a": 2, "b": 2}
    assert asked == ["a", "b"] * 4
    assert rounds == [1] * 4


def test_a_processor_that_linux_does_not_name_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "CPU_INFO", tmp_path / "cpuinfo")
    assert device_name(torch.device("cpu"))
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Abacus 9\n")
    assert device_name(torch.device("cpu")) == "Abacus 9"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device}")
    assert device_name(torch.device("cuda")) == "card cuda"
