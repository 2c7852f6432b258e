"""Tables as the page prints them."""

from math import isnan

import pandas as pd

from stages.page.printed_tables import TableCell, make_grid


def test_models_stand_across_and_proposals_down_of_each_split() -> None:
    table = pd.DataFrame(
        {
            "model": ["tiny", "tiny", "base_plus", "base_plus"],
            "proposal": ["best", "refined_selected"] * 2,
            "a": [1.0, 2.0, 3.0, 4.0],
            "a_low": [0.5] * 4,
            "a_high": [4.5] * 4,
            "b": [5.0, 6.0, 7.0, 8.0],
        }
    )
    grid = make_grid(table, ["a", "b"], across="model")
    assert grid.corner == ("proposal",)
    assert grid.splits == {"a": 2, "b": 2}
    assert grid.columns == ("tiny", "base plus") * 2
    assert [row.names for row in grid.rows] == [("best",), ("refined selected",)]
    assert [[cell.value for cell in row.cells] for row in grid.rows] == [[1, 3, 5, 7], [2, 4, 6, 8]]
    first = grid.rows[0].cells[0]
    assert (first.value, first.low, first.high) == (1, 0.5, 4.5)
    assert isnan(first.paper)
    assert isnan(grid.rows[0].cells[2].low)
    assert grid.best == (2, 4, 6, 8)


def test_what_knows_the_truth_is_not_the_best_of_a_column() -> None:
    table = pd.DataFrame({"measure": ["sam_score", "not_selected", "h_std"], "a": [1.0, 3.0, 2.0]})
    grid = make_grid(table, ["a"])
    assert [row.cells[0].value for row in grid.rows] == [1, 3, 2]
    assert grid.best == (2,)


def test_a_column_of_nothing_but_the_truth_has_no_best() -> None:
    table = pd.DataFrame({"measure": ["not_selected"], "a": [3.0]})
    assert [isnan(best) for best in make_grid(table, ["a"]).best] == [True]


def test_differences_and_numbers_of_the_paper_are_printed_by_their_suffix() -> None:
    table = pd.DataFrame(
        {
            "model": ["tiny"],
            "view": ["vflip"],
            "a": [60.0],
            "a_paper": [61.0],
            "a_difference": [-1.0],
            "a_difference_low": [-2.0],
            "a_difference_high": [0.5],
            "a_difference_paper": [-1.5],
        }
    )
    ((whole,), (gain,)) = (
        make_grid(table, ["a"], across="model", suffix=suffix).rows[0].cells
        for suffix in ("", "_difference")
    )
    assert (whole.value, whole.paper) == (60, 61)
    assert gain == TableCell(-1, -2, 0.5, -1.5)
