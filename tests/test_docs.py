"""What the docs name exists: files, modules and the names in them."""

import ast
import importlib
import re
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from tests.fixtures.dvc_stages import ROOT

RECIPES = "extend.md"
"""Names files that its recipes make, and shows parts of code: a test of its own follows it."""

PAGES = sorted(
    page for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")) if page.name != RECIPES
)

REPOSITORY_PATH = re.compile(r"`((?:pipeline|storage|stages|tools|tests|docs|params)/[\w./-]+)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")
ANCHOR = re.compile(r"\]\((?!https?:)([^)#]*)#([^)]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    named = [ROOT / path for path in REPOSITORY_PATH.findall(text)]
    linked = [page.parent / path for path in LINK.findall(text)]
    assert [str(path) for path in (*named, *linked) if not path.exists()] == []


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub makes of a page's headings."""
    headings = HEADING.findall(FENCED.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / RECIPES], ids=lambda page: page.name)
def test_headings_that_a_page_links_to_are_there(page: Path) -> None:
    links = ANCHOR.findall(page.read_text("utf-8"))
    absent = [
        f"{path}#{anchor}"
        for path, anchor in links
        if anchor not in anchors(page.parent / path if path else page)
    ]
    assert absent == []


def _is_in(module: ModuleType, name: str) -> bool:
    """Whether a module has a name, or is a package with such a module, imported yet or not."""
    return hasattr(module, name) or find_spec(f"{module.__name__}.{name}") is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_examples_of_a_page_import_is_there(page: Path) -> None:
    for block in PYTHON.findall(page.read_text("utf-8")):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                absent = [a.name for a in node.names if not _is_in(module, a.name)]
                assert absent == []
