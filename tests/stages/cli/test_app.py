"""``usam``: its list of commands, none of which is imported before it runs."""

import pytest
from typer.testing import CliRunner

from stages.cli.app import COMMANDS, app, load_command


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(f" {name} " in result.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    help_text = load_command(name).help or ""
    assert " ".join(help_text.partition("\n\n")[0].split()) == COMMANDS[name]
