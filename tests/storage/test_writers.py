"""Of its own machine a process knows who lives; of others it knows nothing."""

import os
from dataclasses import replace

import pytest

from storage.writers import is_left, new_tag, this_writer
from tests.fixtures.dead_process import dead_tag, dead_writer


def test_the_living_are_not_gone() -> None:
    assert not this_writer().is_gone()
    assert not is_left(f".c.0.{new_tag()}.partial")
    assert new_tag() != new_tag()


def test_the_dead_of_this_machine_are() -> None:
    assert dead_writer().is_gone()
    assert is_left(f".c.0.{dead_tag()}.partial")


def test_of_other_machines_nothing_is_known() -> None:
    assert not replace(dead_writer(), machine="01234567").is_gone()
    own, pid, rest = dead_tag().split("-")
    assert not is_left(f".c.0.01234567-{pid}-{rest}.partial")
    assert is_left(f".c.0.{own}-{pid}-{rest}.partial")
    assert not is_left(".c.0.partial")


def test_a_process_of_another_user_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbid)
    assert not this_writer().is_gone()


def test_the_job_of_a_batch_system_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("PBS_JOBID", raising=False)
    monkeypatch.delenv("LSB_JOBID", raising=False)
    assert this_writer().job == ""
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert this_writer().job == "4711"
