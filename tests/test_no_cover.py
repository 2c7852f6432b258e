"""A test that the coverage leaves out is not slowed down by it."""

import sys

import pytest


@pytest.mark.no_cover
def test_with_the_mark_no_cover_nothing_is_traced() -> None:
    assert sys.gettrace() is None
