"""``usam report``: its screen, and its words without a page or a browser."""

from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from stages.cli.app import app
from stages.cli.report import (
    choice_words,
    print_summary,
    shipped_gains,
    shipped_words,
)
from stages.predictor.model_choice import OF_USERS
from stages.settings.params import read_params
from stages.tables.report_table import Results
from storage.head_files.head_file import head_set_path, read_head_file
from storage.paths import PAGE
from storage.split.split_cells import head_origin
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS


@pytest.fixture
def empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = SimpleNamespace(eval_splits=(), report=SimpleNamespace(chosen_on=None, paper={}))
    monkeypatch.setattr("stages.cli.report.read_params", lambda: settings)


@pytest.mark.usefixtures("empty_project")
def test_without_a_page_or_a_browser_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["report"])
    assert result.exit_code == 1
    assert f"{PAGE} must exist, got no file: `dvc repro report` writes it" in result.stderr
    PAGE.parent.mkdir()
    PAGE.touch()
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    result = CliRunner().invoke(app, ["report", "--open"])
    assert result.exit_code == 1
    assert "a browser must be installed" in result.stderr


@pytest.fixture
def of_shipped(results: Results, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Card of the heads that ship, as if it were of the models of ``results``."""
    card = {**head_origin(results[SPLITS[0]].run["models"]), "features_digest": "", "n_images": "7"}
    monkeypatch.setattr("stages.cli.report.read_head_file", lambda _: SimpleNamespace(card=card))
    return card


def test_the_results_that_ship_are_of_the_same_models_and_heads_or_say_so(
    results: Results, of_shipped: dict[str, str]
) -> None:
    run = results[SPLITS[0]].run
    assert shipped_words(run) == "The same models, with heads that learned from 7 other images,"
    same = {**run, "heads": {"t": {"own": {"features_digest": ""}, "isotonic": {}}}}
    assert shipped_words(same) == "The same models, with the same heads,"
    of_shipped["weights_tiny"] = "others"
    assert shipped_words(same) == ""


@pytest.mark.usefixtures("of_shipped")
def test_the_last_screen_says_what_ran_what_it_cannot_tell_and_what_more_images_say(
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
        "no measure is sure to beat 1 − SamScore",
        "Caution: The mini models know drawn shapes only: ",
        "from the results that ship",
        "Page: ",
    )
    places = [printed.index(part) for part in parts]
    assert places == sorted(places)
    assert "nothing surely beats" not in printed


def test_the_last_screen_says_what_the_choice_gained_by_own_heads_and_by_those_that_ship(
    results: Results, evaluated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(evaluated)
    params, scores = read_params(), results[SPLITS[0]].scores
    own_file = head_set_path(TRAIN_SPLITS[0], OF_USERS)
    monkeypatch.setattr("stages.cli.report.shipped_heads", lambda _: own_file)
    gains = shipped_gains(params, SPLITS[0])
    rows = scores[(scores["choice"] == "choice") & (scores["statistic"] == "mask_gain")]
    evaluated_gain = rows[rows["train_split"] == TRAIN_SPLITS[0]].set_index("model")["value"]
    means = {model: mean for model, (mean, _, _) in gains.items()}
    assert means == pytest.approx(evaluated_gain.to_dict(), abs=1e-6)
    words = choice_words(scores, gains)
    for heads in (*(f"heads of {name}" for name in TRAIN_SPLITS), "the heads that ship"):
        assert f"by {heads}, tiny " in words
    mean, low, _ = gains["tiny"]
    assert f"the heads that ship, tiny {100 * mean:+.1f} ({100 * low:+.1f}" in words
    assert choice_words(scores[:0], {}) == ""
    file = read_head_file(own_file)
    of_others = replace(file, card={**file.card, "weights_tiny": "others"})
    monkeypatch.setattr("stages.cli.report.read_head_file", lambda _: of_others)
    assert shipped_gains(params, SPLITS[0]) == {}


@pytest.mark.usefixtures("empty_project")
def test_without_features_nothing_is_said_of_the_heads_that_ship(evaluated: Path) -> None:
    with chdir(evaluated):
        params = read_params()
    assert shipped_gains(params, SPLITS[0]) == {}
