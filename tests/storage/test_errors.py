"""How a message shows what a file holds."""

import math
from time import perf_counter

import pytest

from storage.errors import N_CHARACTERS, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("clip.mp4", "'clip.mp4'"),
        ("two\nlines", r"'two\nlines'"),
        ("\ud800", r"'\ud800'"),
        (True, "True"),
        (None, "None"),
        (math.nan, "nan"),
        (2**70, "1180591620717411303424"),
        ([1, 2.5, "x"], "[1, 2.5, 'x']"),
        ({"size": [8, 10]}, "{'size': [8, 10]}"),
        ([], "[]"),
    ],
)
def test_a_short_value_is_shown_whole(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("value", "beginning"),
    [
        ("x" * 10**6, "'xxx"),
        (10**4000, "1000"),
        ({str(k): [{}] for k in range(10**5)}, "{'0': [{}], "),
        ([["x" * 10**6]] * 10, "[['xxx"),
        (b"x" * 10**6, "b'xxx"),
    ],
    ids=["text", "number", "mapping", "nested", "bytes"],
)
def test_a_long_value_is_cut(value: object, beginning: str) -> None:
    text = shown(value)

    assert text.startswith(beginning)
    assert "..." in text
    assert len(text) <= N_CHARACTERS


def test_a_large_value_is_shown_without_being_walked() -> None:
    value = [[0.5] * 1000] * 100_000
    begin = perf_counter()

    shown(value)

    assert perf_counter() - begin < 1
