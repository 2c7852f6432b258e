"""Docs hold the tables of declared rows, word for word."""

from pathlib import Path

import pytest

from tests.fixtures.dvc_stages import ROOT
from tools.blocks import DECLARED, main, marks, read_block, replace_block


@pytest.mark.parametrize(("page", "name"), DECLARED, ids=str)
def test_docs_hold_exactly_the_declared_tables(page: Path, name: str) -> None:
    assert read_block(ROOT / page, name) == f"\n{DECLARED[page, name]()}", "run `make docs`"


def test_stale_tables_are_rewritten_and_all_else_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = {page: (ROOT / page).read_text("utf-8") for page, _ in DECLARED}
    for page, text in texts.items():
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, "utf-8")
    for page, name in DECLARED:
        replace_block(page, name, "stale")
        assert read_block(page, name) == "stale"
    main()
    assert texts == {page: page.read_text("utf-8") for page in texts}


def test_a_page_without_its_marks_is_left_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin, _ = marks("results")
    page.write_text(f"{begin} only", "utf-8")
    with pytest.raises(ValueError, match=r"page.md must have .* once, got \[1, 0\]"):
        replace_block(page, "results", "new")
    assert page.read_text("utf-8") == f"{begin} only"
