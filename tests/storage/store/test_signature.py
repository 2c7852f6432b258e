import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.store.signature import compare, digest, parse_signature

VALUES = st.one_of(
    st.text(), st.integers(), st.floats(allow_nan=False), st.lists(st.integers()).map(tuple)
)
SIGNATURES = st.dictionaries(st.text(min_size=1), VALUES, max_size=5)


@pytest.mark.no_cover
@given(SIGNATURES)
def test_what_a_store_gives_back_compares_equal(signature: dict[str, object]) -> None:
    stored = json.loads(json.dumps(parse_signature(signature)))
    assert compare(stored, signature) is None
    assert digest(stored) == digest(signature)


@given(SIGNATURES, st.randoms())
def test_digest_does_not_hang_on_the_order_of_keys(
    signature: dict[str, object], random: "object"
) -> None:
    items = list(signature.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert digest(dict(items)) == digest(signature)


@given(SIGNATURES, st.text(min_size=1), VALUES, VALUES)
def test_one_other_value_is_another_signature(
    signature: dict[str, object], key: str, old: object, new: object
) -> None:
    one, other = parse_signature({key: old})[key], parse_signature({key: new})[key]
    difference = compare({**signature, key: one}, {key: new})
    assert (difference is None) == (one == other)


@pytest.mark.parametrize(
    ("stored", "expected", "message"),
    [
        ({"precision": "fp32"}, {"precision": "bf16"}, "precision: fp32 -> bf16"),
        ({}, {"seed": 0}, "seed: none -> 0"),
        ({"a": 1, "b": 2}, {"b": 3, "a": 0}, "a: 1 -> 0, b: 2 -> 3"),
    ],
)
def test_keys_that_differ_are_named_with_both_values(
    stored: dict[str, object], expected: dict[str, object], message: str | None
) -> None:
    assert compare(stored, expected) == message


@pytest.mark.parametrize("value", [None, {"a": 1}, [["a"]], np.float32(1)], ids=str)
def test_a_value_that_would_not_survive_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"signature\.key must be a str, a number or a list"):
        parse_signature({"key": value})
