"""Widths and numbers of networks are judged on scenes that the networks did not learn from."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

from storage.paths import objects_path
from storage.split.object_table import write_objects
from tests.fixtures.eval_split import object_table
from tests.fixtures.mini import MODELS
from tests.fixtures.train_split import N_OBJECTS, PER_IMAGE, SPLIT, write_features, write_params
from tools import show_members
from tools.blocks import read_block


def test_each_width_has_a_row_for_one_network_and_a_row_for_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    about = {"split": SPLIT, "group": "image"}
    write_objects(objects_path(SPLIT), object_table(N_OBJECTS, PER_IMAGE), about)
    for model in MODELS:
        write_features(model)
    write_params()
    page = tmp_path / "page.md"
    page.write_text("<!-- members -->\n<!-- /members -->\n", encoding="utf-8")
    for name, value in {"PAGE": page, "WIDTHS": (4, 16), "N_RESAMPLES": 50}.items():
        monkeypatch.setattr(show_members, name, value)
    show_members.main()
    lines = [line.strip("| ").split(" | ") for line in read_block(page, "members").splitlines()]
    rows = {tuple(line[:2]): line[2:] for line in lines[3:]}
    assert [*rows] == [("4", "1"), ("4", "3"), ("16", "1"), ("16", "3")]
    for width in ("4", "16"):  # means err less
        assert float(rows[width, "3"][-1]) <= float(rows[width, "1"][-1])


def test_who_expects_the_truth_gains_all_and_has_no_error() -> None:
    iou_at_cut = np.random.default_rng(0).uniform(0.1, 0.9, (20, 3, 9))
    sam_score = np.zeros((20, 3))
    gain, error = show_members._scores(logit(iou_at_cut), iou_at_cut, sam_score)
    np.testing.assert_allclose(
        gain, 100 * (iou_at_cut.max(axis=(1, 2)) - iou_at_cut[:, 0, 4]), atol=1e-9
    )
    np.testing.assert_allclose(error, 0, atol=1e-12)
