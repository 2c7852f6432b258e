"""The table of benchmarks' bars."""

from tools.bars import Bar, bar_table

MACHINE = {
    "cpu": {"brand_raw": "A", "count": 2},
    "machine": "x86_64",
    "system": "Linux",
    "python_version": "3.11.7",
}


def rows(*bars: Bar) -> list[str]:
    return bar_table(bars, MACHINE).splitlines()[4:]


def test_cases_under_one_bar_share_a_line_that_names_those_that_miss_it() -> None:
    start = [
        Bar("start", figure, at_most=1, unit="s", case=case)
        for case, figure in {"a": 0.5, "b": 2.0, "c": 0.04, "d": 1.5}.items()
    ]
    assert rows(*start) == ["| start | 0.04 to 2 s | at most 1 s | **no**: b, d |"]


def test_cases_under_other_bars_have_lines_of_their_own() -> None:
    speed = [
        Bar("speed", 2, at_least=2, case="a"),
        Bar("speed", 2, at_least=2, case="b"),
        Bar("speed", 2, at_least=3, case="c"),
    ]
    assert rows(*speed) == [
        "| speed | 2 | at least 2 | yes |",
        "| speed | 2 | at least 3 | **no**: c |",
    ]


def test_a_figure_without_a_bar_is_only_noted() -> None:
    assert rows(Bar("size", 1234.0, unit="MB")) == ["| size | 1,234 MB | none |  |"]
