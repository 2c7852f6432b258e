"""The page's files name what is there, commands and elements, and no other machine."""

import re
from pathlib import Path
from typing import Final

import pytest

from stages.web.routes import STATIC

HTML: Final = (STATIC / "index.html").read_text("utf-8")


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_a_file_names_no_other_machine(path: Path) -> None:
    assert re.findall(r"(?:https?:)?//[\w.]+\.\w+|@import|url\(", path.read_text("utf-8")) == []


def test_an_id_names_one_element() -> None:
    ids = re.findall(r'id="([\w-]+)"', HTML + (STATIC / "editor.js").read_text("utf-8"))
    assert len(ids) == len(set(ids))


def test_every_element_that_a_script_looks_up_is_there() -> None:
    scripts = "".join(path.read_text("utf-8") for path in STATIC.glob("*.js"))
    looked_up = set(re.findall(r'byId\("([\w-]+)"\)', scripts))
    assert len(looked_up) > 25
    pages = "".join(path.read_text("utf-8") for path in STATIC.glob("*.html"))
    assert looked_up - set(re.findall(r'id="([\w-]+)"', pages + scripts)) == set()
