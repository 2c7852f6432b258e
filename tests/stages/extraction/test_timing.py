"""How seconds are measured, and what a processor is called."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.extraction import models, timing
from stages.extraction.models import device_name
from stages.extraction.timing import median_seconds


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
