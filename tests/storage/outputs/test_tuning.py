from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.heads.kinds import PAPER, Hyperparameters, Trial
from storage.errors import DataError
from storage.outputs.tuning import (
    Tuning,
    append_trial,
    read_log,
    read_tuning,
    write_tuning,
)
from storage.paths import tuning_path
from tests.fixtures.full_disk import full_after

PLAN = Hyperparameters(epochs=5, batch_size=16, learning_rate=0.1 / 3, momentum=0.9)
TRIALS = [Trial(PLAN, 0.1 / 7), Trial(replace(PLAN, epochs=6), 0.2)]


@pytest.mark.parametrize("cost", [0.1 / 7, None])
def test_a_choice_comes_back_as_it_was_written(tmp_path: Path, cost: float | None) -> None:
    tuning = Tuning(PLAN, cost, n_trials=8, seed=3)
    write_tuning(tmp_path / PAPER / "a.json", tuning, TRIALS)
    assert read_tuning(tmp_path / PAPER / "a.json") == tuning


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_file_that_is_no_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    message = r"a\.json must (be JSON|be a mapping|have files, sha256), got"
    with pytest.raises(DataError, match=message):
        read_tuning(tmp_path / "a.json")


def test_an_edited_choice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / PAPER / "a.json"
    write_tuning(path, Tuning(PLAN, 0.1 / 7, n_trials=2, seed=3), TRIALS)
    text = path.read_text()
    path.write_text(text.replace("0.9", "0.8"))
    with pytest.raises(DataError, match=r"a\.json must be the file that the stage tune wrote"):
        read_tuning(path)
    path.write_text(text.replace("\n", ""))  # the same in one line
    read_tuning(path)


def test_the_choice_of_another_objective_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny, large = (
        tuning_path("shapes_train", PAPER, f"iou_{model}") for model in ("tiny", "large")
    )
    write_tuning(tiny, Tuning(PLAN, 0.1 / 7, n_trials=2, seed=3), TRIALS)
    tiny.rename(large)
    message = (
        r"iou_large\.json must be the tuning of iou_large, got that of iou_tiny; "
        "`dvc repro tune@shapes_train-iou_large` makes it$"
    )
    with pytest.raises(DataError, match=message):
        read_tuning(large)


def test_log_keeps_the_order_and_every_bit(tmp_path: Path) -> None:
    for trial in TRIALS:
        append_trial(tmp_path / "work" / "log.jsonl", trial)
    assert read_log(tmp_path / "work" / "log.jsonl") == TRIALS


def test_line_cut_short_by_a_kill_is_left_out_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_trial(path, TRIALS[0])
    append_trial(path, TRIALS[1])
    whole = path.read_bytes()
    first_line = whole.index(b"\n", 1)
    for size in range(first_line + 1, len(whole)):
        path.write_bytes(whole[:size])
        assert read_log(path) == TRIALS[:1]
        append_trial(path, TRIALS[1])
        assert read_log(path) == TRIALS


@pytest.mark.parametrize("n_bytes", [0, 1, 20])
def test_a_line_that_a_full_disk_cuts_short_is_an_error_that_names_the_file(
    n_bytes: int, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    append_trial(path, TRIALS[0])
    with full_after(path, n_bytes), pytest.raises(OSError, match="too large") as caught:
        append_trial(path, TRIALS[1])
    assert caught.value.filename == str(path)
    assert read_log(path) == TRIALS[:1]
    append_trial(path, TRIALS[1])
    assert read_log(path) == TRIALS
