"""Trials of every head, read and put together."""

from pathlib import Path

import pytest

from pipeline.heads.kinds import PAPER
from storage.errors import DataError
from storage.outputs.results import read_all_trials
from storage.paths import trials_path
from tests.fixtures.mini import MODELS, OBJECTIVES
from tests.fixtures.report_inputs import draw_trials, write_report_inputs


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which two train splits were tuned."""
    write_report_inputs(tmp_path, [], ["a", "b"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_trials_of_every_head_are_read() -> None:
    found = read_all_trials(["a", "b"], MODELS)
    heads = found[["trained_on", "objective"]].drop_duplicates().to_numpy().tolist()
    assert heads == [[split, objective] for split in "ab" for objective in OBJECTIVES]
    own = found.query("trained_on == 'b' and objective == 'task_gap'")
    assert own["rank"].tolist() == [1, 2, 3]
    assert own["mse"].tolist() == [trial.mse for trial in draw_trials(3)]
    assert own["epochs"].tolist() == [trial.plan.epochs for trial in draw_trials(3)]


def test_edited_trials_are_refused(root: Path) -> None:
    path = root / trials_path("a", PAPER, "iou_tiny")
    path.write_text(path.read_text("utf-8").replace("16", "17"), "utf-8")
    with pytest.raises(
        DataError, match=r"iou_tiny\.csv must be the file that iou_tiny\.json lists"
    ):
        read_all_trials(["a"], MODELS)
