"""Seeds follow from names alone."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.seeds import derive_seed

parts = st.lists(st.one_of(st.integers(), st.text("abc/.", max_size=4)), min_size=1, max_size=4)


@given(one=parts, other=parts)
def test_other_names_give_other_seeds(one: list[int | str], other: list[int | str]) -> None:
    same = [str(part) for part in one] == [str(part) for part in other]
    assert (derive_seed(*one) == derive_seed(*other)) == same
