"""The page's files: whole, and without an address of another machine."""

import re
from pathlib import Path
from typing import Final

import pytest

from stages.predictor.card_entries import COMMANDS
from stages.web.app import STATIC, TYPES
from tests.fixtures.dvc_stages import ROOT

FILES: Final = sorted(STATIC.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_names_no_other_machine_and_has_a_type(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"(?:https?:)?//[\w.]+\.\w+|@import|url\(", text) == []
    assert path.suffix in TYPES


def test_the_document_runs_no_script_of_its_own() -> None:
    html = (STATIC / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?! type=\"module\" src=\"/)|\son\w+=|style=", html) == []


def test_the_page_and_the_readme_have_the_three_commands_for_a_photograph() -> None:
    html = (STATIC / "index.html").read_text("utf-8")
    assert re.findall(r"<code>(usam \w+ .*?)</code>", html) == list(COMMANDS)
    assert "\n".join(COMMANDS) in (ROOT / "README.md").read_text("utf-8")


def test_every_element_that_a_script_asks_for_is_there() -> None:
    html = (STATIC / "index.html").read_text("utf-8")
    scripts = "".join(path.read_text("utf-8") for path in FILES if path.suffix == ".js")
    asked = set(re.findall(r'byId\("([\w-]+)"\)', scripts))
    assert len(asked) > 15
    assert asked - set(re.findall(r'id="([\w-]+)"', html)) == set()
