"""The page's files: colours that can be read, and no address of another machine."""

import re
from pathlib import Path
from typing import Final

import pytest

from stages.predictor.photographs import COMMANDS
from stages.web.app import STATIC, TYPES
from tests.fixtures.dvc_stages import ROOT

FILES: Final = sorted(STATIC.iterdir())

CSS: Final = (STATIC / "page.css").read_text("utf-8")

PARTS: Final = [
    ("edge", "card"),
    ("accent", "card"),
    ("accent", "page"),
    ("accent", "track"),
    ("star", "track"),
    ("accent", "soft"),
]
"""Colours of edges, bars and the focus, and what is beside them."""


def colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    named = re.compile(r"--([\w-]+): (#[0-9a-f]{6});")
    return dict(named.findall(light)) | (dict(named.findall(dark)) if scheme == "dark" else {})


def luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_edges_bars_and_focus_stand_out_by_aa(scheme: str) -> None:
    own = colours(scheme)
    pale = {pair: contrast(own[pair[0]], own[pair[1]]) for pair in PARTS}
    assert {pair: ratio for pair, ratio in pale.items() if ratio < 3} == {}


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
