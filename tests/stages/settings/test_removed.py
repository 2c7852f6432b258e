"""What was removed is named with its remedy wherever it is met; so no row names what exists."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from stages.cli.app import app
from stages.settings.params import read_params
from stages.settings.parsing import ParamsError
from stages.settings.removed import REMOVED
from tests.fixtures.settings import BLOCKS, write_settings

COMMANDS = [name for name in REMOVED if name.startswith("usam ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_or_an_option_of_one(name: str) -> None:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, [*name.split()[1:], "x"])
    assert result.exit_code == 2
    assert f"{name} was removed: {REMOVED[name]}" in result.stderr
    assert "No such" not in result.stderr


@pytest.mark.parametrize("name", sorted(REMOVED.keys() - COMMANDS))
def test_a_setting_or_a_value_of_one(name: str, tmp_path: Path) -> None:
    key, _, value = name.partition(": ")
    block, _, inner = key.partition(".")
    old = {inner: 1} if inner else ["ours", value] if value else {"a": 1}
    assert block in BLOCKS or not inner
    write_settings(tmp_path, **{block: old})
    with pytest.raises(ParamsError) as caught:
        read_params(tmp_path / "params.yaml")
    assert str(caught.value) == f"{tmp_path}/params.yaml: {name} was removed: {REMOVED[name]}"
