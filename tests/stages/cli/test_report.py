"""``usam report``: its screen, and its words without a page."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from stages.cli.app import app
from stages.cli.report import choice_words, print_summary
from stages.tables.report_table import Results
from storage.paths import PAGE
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS


@pytest.fixture
def empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = SimpleNamespace(eval_splits=(), report=SimpleNamespace(chosen_on=None, paper={}))
    monkeypatch.setattr("stages.cli.report.read_params", lambda: settings)


@pytest.mark.usefixtures("empty_project")
def test_without_a_page_a_line_says_so() -> None:
    result = CliRunner().invoke(app, ["report"])
    assert result.exit_code == 1
    assert f"{PAGE} must exist, got no file: `dvc repro report` writes it" in result.stderr


def test_the_last_screen_says_what_ran_and_what_it_cannot_tell(
    results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(results, None)
    printed = " ".join(capsys.readouterr().out.split())
    run = results[SPLITS[0]].run
    assert printed.startswith(
        f"{SPLITS[0]}: {run['n_objects']} objects in {run['n_groups']} images"
    )
    parts = (
        "What these images cannot tell:",
        "no measure of the table is sure to beat 1 − SamScore",
        "Caution: The mini models know drawn shapes only: ",
        "Page: ",
    )
    places = [printed.index(part) for part in parts]
    assert places == sorted(places)
    assert "nothing surely beats" not in printed


def test_the_last_screen_says_what_the_choice_gained_by_each_model_and_heads(
    results: Results,
) -> None:
    scores = results[SPLITS[0]].scores
    rows = scores[(scores["choice"] == "choice") & (scores["statistic"] == "mask_gain")]
    of_first = rows[rows["train_split"] == TRAIN_SPLITS[0]].set_index("model")
    mean, low, high = (100 * of_first[name]["tiny"] for name in ("value", "low", "high"))
    words = choice_words(scores)
    for name in TRAIN_SPLITS:
        assert f"by heads of {name}, tiny " in words
    assert f"heads of {TRAIN_SPLITS[0]}, tiny {mean:+.1f} ({low:+.1f} to {high:+.1f})" in words
    assert choice_words(scores[:0]) == ""
