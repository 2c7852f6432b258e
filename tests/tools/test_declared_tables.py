"""Docs hold the tables of declared rows, word for word."""

from pathlib import Path

import pytest

from tests.fixtures.dvc_stages import ROOT
from tools.blocks import read_block, replace_block
from tools.declared_tables import DECLARED, RESULT_TABLES, main, result_tables


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


def test_every_column_is_explained_under_its_table() -> None:
    parts = result_tables().split("| columns | meaning |")
    assert len(parts) == len(RESULT_TABLES) + 1
    for table, part in zip(RESULT_TABLES.values(), parts[1:], strict=True):
        assert all(f"`{name}`" in part for name in table.columns)
        assert table.more in part
        assert ("| ... |" in part) == bool(table.more)
