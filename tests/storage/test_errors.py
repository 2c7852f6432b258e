"""How a message shows what a file holds."""

import pytest

from storage.errors import N_CHARACTERS, shown


@pytest.mark.parametrize(
    ("value", "beginning"),
    [
        ("x" * 10**6, "'xxx"),
        (10**4000, "1000"),
        ({str(k): [{}] for k in range(10**5)}, "{'0': [{}], "),
    ],
    ids=["text", "number", "mapping"],
)
def test_a_long_value_is_cut(value: object, beginning: str) -> None:
    text = shown(value)

    assert text.startswith(beginning)
    assert "..." in text
    assert len(text) <= N_CHARACTERS


def test_a_large_value_is_shown_without_being_walked() -> None:
    n_shown = 0

    class Item:
        def __repr__(self) -> str:
            nonlocal n_shown
            n_shown += 1
            return "item"

    shown([[Item()] * 1000] * 1000)
    assert 0 < n_shown < 1000
