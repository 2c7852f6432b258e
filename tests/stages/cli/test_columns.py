"""Text in columns: aligned by what a terminal shows, one line a row."""

import pytest

from stages.cli.columns import aligned, bytes_text
from storage.errors import printable


def test_columns_begin_together_or_end_together() -> None:
    rows = [("name", "bytes", "state"), ("a", "12", "complete"), ("longer", "3", "")]
    assert aligned(rows, right={1}).splitlines() == [
        "name    bytes  state",
        "a          12  complete",
        "longer      3",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[/red] größe 猫 it's", "[/red] größe 猫 it's"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\udcff", r"\udcff"),
        ("tab\t", r"tab\t"),
    ],
)
def test_what_a_terminal_would_obey_or_refuse_is_escaped_alone(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        ((0,), "0 B"),
        ((999,), "999 B"),
        ((1000,), "1 kB"),
        ((1_500_000, 2_000_000), "1.5 to 2 MB"),
        ((17_810_000, 17_790_000), "17.8 MB"),
        ((10**18,), "1e+06 TB"),
    ],
)
def test_bytes_have_three_digits_and_a_unit(n_bytes: tuple[int, ...], text: str) -> None:
    assert bytes_text(*n_bytes) == text
