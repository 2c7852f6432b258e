"""Blocks stand between their marks, and nothing else of a page changes."""

from pathlib import Path

import pytest

from tools.blocks import marks, replace_block


def test_a_page_without_its_marks_is_left_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin, _ = marks("results")
    page.write_text(f"{begin} only", "utf-8")
    with pytest.raises(ValueError, match=r"page.md must have .* once, got \[1, 0\]"):
        replace_block(page, "results", "new")
    assert page.read_text("utf-8") == f"{begin} only"
