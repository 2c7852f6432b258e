"""The declared tables of results: a row holds what its columns say."""

from dataclasses import is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from pipeline.scoring.scores import Interval
from storage.outputs.csv_forms import (
    GALLERY,
    LEARNING_CURVES,
    RANKING,
    RUNTIME,
    SPLIT_TABLES,
    TRIALS,
    Table,
    record,
)

TABLES = {
    **SPLIT_TABLES,
    "ranking": RANKING,
    "gallery": GALLERY,
    "runtime": RUNTIME,
    "trials": TRIALS,
    "learning curves": LEARNING_CURVES,
}


def drawn(hint: Any) -> Any:  # noqa: ANN401 - a value of any field
    """A value of a field's type; of a class of rows, a row."""
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if kind is Interval:
        return Interval(0.1, 0.2)
    if is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return kind(**{name: drawn(hint) for name, hint in hints.items()})  # type: ignore[operator]
    if "ndarray" in str(kind):
        return np.zeros(2, int if "Int" in str(kind) else float)
    return {str: "a", int: 3, int | None: 3}.get(kind, 0.5)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_row_has_the_columns_of_its_table_in_their_order(table: Table) -> None:
    if isinstance(table.row, type):
        assert tuple(record(drawn(table.row))) == table.columns
    assert len(set(table.columns)) == len(table.columns)
    assert all(column.meaning for column in table.declared)


def test_the_ends_of_an_interval_are_columns_of_their_own() -> None:
    assert TABLES["scores"].columns[-3:] == ("value", "low", "high")
    assert TABLES["reliability"].columns[-3:] == ("iou", "iou_low", "iou_high")
