"""Numbers as people read them."""

from collections.abc import Hashable, Mapping
from math import isnan
from typing import Any, Final

from stages.page.grid import Cell
from stages.tables.rows import BOUNDS_OF

NOTHING: Final = "–"
"""Stands for a value that does not exist."""


def number(value: float, n_digits: int = 1) -> str:
    """Write a number for people, a missing one as a dash."""
    # Adding 0.0 turns -0.0 into 0.0.
    written = f"{round(value, n_digits) + 0.0:.{n_digits}f}".replace("-", "−")
    return NOTHING if isnan(value) else written


def with_bounds(row: Mapping[Hashable, Any], column: str) -> str:
    """Write a number of a row, and in brackets its bounds in whole numbers."""
    low, high = (row[column + end] for end in BOUNDS_OF)
    written = number(row[column])
    return written if isnan(low) else f"{written} ({number(low, 0)}–{number(high, 0)})"


def interval(cell: Cell, n_digits: int) -> str:
    """Write the ends of an interval, with a word between them if a dash could be a minus."""
    between = " to " if cell.low < 0 else "–"
    return number(cell.low, n_digits) + between + number(cell.high, n_digits)


def significant(value: float) -> str:
    """Write a number in three significant digits, a missing one as a dash."""
    return NOTHING if isnan(value) else f"{value:#.3g}".rstrip(".")


def tint(correlation: float) -> str:
    """Background of a correlation: red for +1, blue for -1, none for 0 or a missing one."""
    if isnan(correlation):
        return "none"
    colour = "#ef4444" if correlation > 0 else "#3b82f6"
    return f"{colour}{round(0.7 * 255 * abs(correlation)):02x}"
