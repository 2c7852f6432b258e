"""Heads that read the tokens of the best mask rank like the ground truth that these tokens tell."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.dvc_stages import ROOT
from tools import show_best_tokens
from tools.blocks import read_block


def test_the_table_has_a_row_for_each_training_and_one_for_the_ground_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, page = tmp_path / "params.yaml", tmp_path / "page.md"
    settings = (ROOT / "params/results.yaml").read_text("utf-8")
    settings = settings.replace("n_train_images: 400", "n_train_images: 4")
    params.write_text(settings, "utf-8")
    page.write_text("<!-- best-tokens -->\n<!-- /best-tokens -->\n", encoding="utf-8")
    few = {"PAGE": page, "PARAMS": params, "N_SCENES": 4, "N_RESAMPLES": 50, "LONGEST": 11}
    for name, value in few.items():
        monkeypatch.setattr(show_best_tokens, name, value)
    monkeypatch.chdir(ROOT)
    show_best_tokens.main()
    lines = [line.strip("| ").split(" | ") for line in read_block(page, "best-tokens").splitlines()]
    rows = {tuple(line[:2]): line[2:] for line in lines if len(line) == 4}
    assert [*rows][2:] == [
        ("`paper`", "10"),
        ("`paper`", "11"),
        ("`ours`", "12"),
        (show_best_tokens.NO_HEAD, "–"),
    ]
    assert all(re.fullmatch(r"[\d.]+ \(\d+–\d+\)", cells[1]) for cells in [*rows.values()][2:])


def test_the_true_gain_has_100_and_its_reverse_0() -> None:
    rng = np.random.default_rng(0)
    rows = {"iou": rng.random((40, 3)), "sam_score": rng.random((40, 3)), "group": np.arange(40)}
    gain = rows["iou"].max(axis=1) - rows["iou"][np.arange(40), rows["sam_score"].argmax(axis=1)]
    assert show_best_tokens.relative(rows, gain) == "100.0 (100–100)"
    assert show_best_tokens.relative(rows, -gain) == "0.0 (0–0)"
