"""``usam``: its list of commands, none of which is imported before it runs."""

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from stages.cli.app import COMMANDS, app, load_command


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(f" {name} " in result.output for name in COMMANDS)


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"usam {version('usam-cache')}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    help_text = load_command(name).help or ""
    assert " ".join(help_text.partition("\n\n")[0].split()) == COMMANDS[name][1]


def test_an_unknown_command_is_named() -> None:
    result = CliRunner().invoke(app, ["extract"])
    assert result.exit_code == 2
    assert "No such command 'extract'" in result.stderr


def test_an_option_of_another_command_was_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.settings.removed.REMOVED", {"usam fill --fast": "take another"})
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["plan", "--fast"])
    assert result.exit_code == 2
    assert "No such option: --fast" in result.stderr
