"""The costs of a click, as the table of models has them."""

import pytest

from pipeline.sam.families import FAMILIES, models_of
from storage.checkpoints.weights import checkpoint
from tests.fixtures.dvc_stages import ROOT
from tools.blocks import read_block
from tools.click_costs import HEADER, PAGE, rows_of


@pytest.mark.slow
def test_each_model_of_a_family_has_its_memory_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    rows = rows_of("mini")
    assert [row[:2] for row in rows] == [("`mini`", model) for model in models_of("mini")]
    for row in rows:
        memory_gb, first_s, next_s = map(float, row[3:])
        assert 0.1 < memory_gb < 2
        assert first_s > next_s > 0


def test_the_page_has_a_row_for_each_model_with_the_size_of_its_weights() -> None:
    header, _, *rows = read_block(ROOT / PAGE, "click-costs").strip().splitlines()
    assert tuple(header.strip("| ").split(" | ")) == HEADER
    assert [row.strip("| ").split(" | ")[:3] for row in rows] == [
        [f"`{family}`", model, f"{checkpoint(family, model).size_bytes / 1e6:.0f}"]
        for family in FAMILIES
        for model in models_of(family)
    ]
