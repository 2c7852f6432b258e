"""Of its own machine a process knows who lives; of others it knows nothing."""

import os

import pytest

from storage.writers import is_left, new_tag
from tests.fixtures.dead_process import dead_tag


def test_what_the_living_write_is_not_left() -> None:
    assert not is_left(f".c.0.{new_tag()}.partial")
    assert new_tag() != new_tag()


def test_of_this_machine_what_the_dead_wrote_is_left_of_others_nothing_is_known() -> None:
    own, pid, rest = dead_tag().split("-")
    assert is_left(f".c.0.{own}-{pid}-{rest}.partial")
    assert not is_left(f".c.0.01234567-{pid}-{rest}.partial")
    assert not is_left(".c.0.partial")


def test_a_process_of_another_user_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: int) -> None:
        raise PermissionError

    left = f".c.0.{dead_tag()}.partial"
    monkeypatch.setattr(os, "kill", forbid)
    assert not is_left(left)
