"""Docs hold the tables of declared rows, word for word."""

from pathlib import Path

import pytest

from tests.fixtures.dvc_stages import ROOT
from tools.blocks import read_block
from tools.declared_tables import DECLARED


@pytest.mark.parametrize(("page", "name"), DECLARED, ids=str)
def test_docs_hold_exactly_the_declared_tables(page: Path, name: str) -> None:
    assert read_block(ROOT / page, name) == f"\n{DECLARED[page, name]()}", "run `make docs`"
