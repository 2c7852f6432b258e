"""Trials of every head, read and put together."""

from pathlib import Path

import pytest

from pipeline.vocabulary import OBJECTIVES
from stages.tables.trials import read_all_trials, trial_table
from storage.errors import DataError
from storage.paths import trials_path
from tests.fixtures.report_inputs import draw_trials, write_report_inputs, write_tuned


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which two train splits were tuned."""
    write_report_inputs(tmp_path, [], ["a", "b"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_trials_of_every_head_are_read() -> None:
    found = read_all_trials(["a", "b"])
    assert list(found) == [(split, objective) for split in "ab" for objective in OBJECTIVES]
    assert found["b", "task_gap"] == draw_trials(3)


def test_a_head_without_trials_has_no_row(root: Path) -> None:
    write_tuned(root, "a", "iou_tiny", [])
    table = trial_table(read_all_trials(["a"]))
    assert table["objective"].unique().tolist() == list(OBJECTIVES[1:])
    assert table["rank"].tolist() == [1, 2, 3] * (len(OBJECTIVES) - 1)


@pytest.mark.parametrize(
    ("n_bytes_cut", "message"),
    [(3, "iou_tiny.csv must end with a line break"), (None, "must have 3 trials, got 2")],
    ids=["inside a line", "between lines"],
)
def test_a_cut_table_is_refused(root: Path, n_bytes_cut: int | None, message: str) -> None:
    path = root / trials_path("a", "iou_tiny")
    data = path.read_bytes()
    n_bytes = -n_bytes_cut if n_bytes_cut else data[:-1].rindex(b"\n") + 1
    path.write_bytes(data[:n_bytes])
    with pytest.raises(DataError, match=message):
        read_all_trials(["a"])


def test_without_train_splits_there_is_no_trial() -> None:
    assert trial_table(read_all_trials([])).empty
