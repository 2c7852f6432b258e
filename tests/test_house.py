"""The house has no more lines of code than CONTRIBUTING.md allows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.fixtures.dvc_stages import PACKAGES, ROOT

WEB: Final = (".js", ".css", ".html", ".j2")


def code_lines(source: str) -> int:
    """Lines of Python that are neither blank nor a comment nor part of a docstring.

    A string that stands alone is a docstring: of a module, a class, a function or a constant.
    """
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    return sum(
        number not in docstrings and bool(line.strip()) and not line.lstrip().startswith("#")
        for number, line in enumerate(source.splitlines(), start=1)
    )


def files() -> Iterator[Path]:
    yield ROOT / "usam_cache.py"
    for folder in (*PACKAGES, "tools"):
        yield from sorted((ROOT / folder).rglob("*.py"))
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in WEB)


def lines_of(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return code_lines(text)
    return sum(bool(line.strip()) for line in text.splitlines())


def test_code_is_counted_without_docstrings_comments_and_blank_lines() -> None:
    lines = ('"""Module.', "", 'More."""', "", "N = 1  # one", '"""A number."""', "# Why.")
    function = ("def f():", '    """Return."""', '    return "a"')
    assert code_lines("\n".join([*lines, *function])) == 3


def test_the_house_has_no_more_lines_than_contributing_allows() -> None:
    (told,) = re.findall(r"at most ([\d,]+) lines", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    n_lines = sum(map(lines_of, files()))
    assert n_lines <= int(told.replace(",", "")), "say in CONTRIBUTING.md what the lines are for"
