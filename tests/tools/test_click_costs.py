"""The costs of a click, as the table of models has them."""

import sys

import pytest

from tests.fixtures.dvc_stages import ROOT
from tools.click_costs import main


@pytest.mark.slow
def test_each_model_of_a_family_has_its_memory_and_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["click_costs", "mini"])
    main()
    family, *columns = capsys.readouterr().out.strip(" |\n").split(" | ")
    assert family == "`mini`"
    memory_gb, first_s, next_s = (map(float, column.split(", ")) for column in columns)
    assert all(0.1 < gb < 2 for gb in memory_gb)
    assert all(first > after > 0 for first, after in zip(first_s, next_s, strict=True))
