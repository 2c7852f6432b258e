"""``usam report``: what it says where there is no page, or no browser."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from stages.cli.app import app
from stages.cli.report import PAGE


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = SimpleNamespace(eval_splits=())
    monkeypatch.setattr("stages.cli.report.read_params", lambda: settings)


def test_without_a_page_or_a_browser_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["report"])
    assert result.exit_code == 1
    assert f"{PAGE} must exist, got no file: dvc repro report writes it" in result.stderr
    PAGE.parent.mkdir()
    PAGE.touch()
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    result = CliRunner().invoke(app, ["report", "--open"])
    assert result.exit_code == 1
    assert "a browser must be installed" in result.stderr
