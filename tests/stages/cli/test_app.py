"""``usam``: its list of commands, none of which is imported before it runs."""

import tomllib

import pytest
import yaml
from typer.testing import CliRunner

from stages.cli.app import COMMANDS, app, load_command
from storage.store.writing import full_signature
from tests.fixtures.dvc_stages import ROOT


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(f" {name} " in result.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    help_text = load_command(name).help or ""
    assert " ".join(help_text.partition("\n\n")[0].split()) == COMMANDS[name]


def test_the_version_is_that_of_the_package_and_those_that_stores_carry() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    stages = yaml.safe_load((ROOT / "versions.yaml").read_text("utf-8"))
    schema = full_signature({})["schema_version"]
    numbers = ", ".join(f"{name} {number}" for name, number in {"schema": schema, **stages}.items())
    result = CliRunner().invoke(app, ["--version"])
    assert result.output == f"usam {project['version']}\n{numbers}\n"
