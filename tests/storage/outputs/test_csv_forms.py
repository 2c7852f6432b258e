"""The declared tables of results: their columns, and what these mean."""

import pytest

from storage.outputs.csv_forms import (
    GALLERY,
    RANKING,
    RUNTIME,
    SPLIT_TABLES,
    TRIALS,
    Table,
)

TABLES = {
    **SPLIT_TABLES,
    "ranking": RANKING,
    "gallery": GALLERY,
    "runtime": RUNTIME,
    "trials": TRIALS,
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_has_a_name_of_its_own_and_a_meaning(table: Table) -> None:
    assert len(set(table.columns)) == len(table.columns)
    assert all(column.meaning for column in table.declared)


def test_the_ends_of_an_interval_are_columns_of_their_own() -> None:
    assert TABLES["scores"].columns[-3:] == ("value", "low", "high")
    assert TABLES["reliability"].columns[-3:] == ("iou", "iou_low", "iou_high")
