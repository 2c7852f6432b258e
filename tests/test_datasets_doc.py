"""What docs/datasets.md tells people to write is taken, and no reader is left out."""

import re
from typing import Any, Final

import pytest
import yaml

from stages.settings.blocks import Split
from stages.settings.parsing import parse
from storage.datasets.catalogue import DATA_SETS
from tests.fixtures.dvc_stages import ROOT
from tests.test_readme import commands, fault

TEXT: Final = (ROOT / "docs" / "datasets.md").read_text("utf-8")

BLOCKS: Final[dict[str, Any]] = {
    name: place
    for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for name, place in yaml.safe_load(block).items()
}

PAPER: Final = ROOT / "params" / "paper.yaml"


@pytest.mark.parametrize("name", BLOCKS)
def test_a_split_can_be_written_as_told(name: str) -> None:
    assert parse(name, BLOCKS[name], Split).source


def test_every_reader_has_an_example() -> None:
    assert {place["reader"] for place in BLOCKS.values()} == set(DATA_SETS)


def test_the_table_of_readers_says_which_keys_they_know() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)
    told = {name: (names != "-", set(re.findall(r"`(\w+)`", keys))) for name, names, keys in rows}
    assert told == {
        name: ("list" in item.needs, set(item.takes)) for name, item in DATA_SETS.items()
    }


def test_the_papers_splits_are_where_the_page_says() -> None:
    splits = yaml.safe_load(PAPER.read_text("utf-8"))["splits"]
    for name, place in BLOCKS.items():
        for key in ("reader", "images", "annotations", "list"):
            assert splits[name].get(key) == place.get(key)


@pytest.mark.parametrize("command", commands(TEXT), ids=" ".join)
def test_a_command_exists(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert fault(command) == ""
