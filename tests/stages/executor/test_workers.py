"""The executor ``address``: what is done about workers and schedulers that do not answer."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.dask_daemons import running_dask, running_scheduler, running_worker
from tests.fixtures.driven import PATIENCE_S, driven
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.slurm import wait_until

pytestmark = pytest.mark.slow

WAITING = "note: waiting for workers of address\n"

IMPATIENT = {**os.environ, "SILENT_S": "8"}
"""Environment of drivers that wait 8 s for a sign of life, not 30."""


def environment() -> Mapping[str, str]:
    """Environment of a worker that starts in another folder than the source code's."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def at(address: str) -> dict[str, Any]:
    """The setting ``executor``."""
    return {"kind": "address", "address": address}


def parent_of(pid: int) -> int:
    """The process that has started another."""
    return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])


def test_a_worker_that_stops_is_named_and_its_task_is_offered_to_another(tmp_path: Path) -> None:
    with (
        running_dask(tmp_path, tmp_path, environment()) as dask,
        running_worker(dask.address, tmp_path, environment()),
        driven(at(dask.address), tmp_path, ("a",), IMPATIENT) as run,
    ):
        first = run.first("a")
        os.kill(first.pid, signal.SIGSTOP)
        second = run.next_after("a", first)
        assert second.pid != first.pid
        lines = [line for line in run.said().splitlines() if "must answer" in line]
        assert lines[0].startswith("note: workers must answer within 8 s, got nothing from tcp://1")
        assert lines[0].endswith("others do what it has in hand")
        assert [line.split()[0] for line in run.finish()] == ["a"]


def test_a_worker_in_another_folder_is_named_and_gets_no_work(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    with (
        running_dask(tmp_path, elsewhere, environment()) as dask,
        driven(at(dask.address), project, ("a", "b", "c"), IMPATIENT) as run,
    ):
        found = f"note: workers must start in {project}, got tcp://127.0.0.1:"
        wait_until(lambda: f" in {elsewhere}\n" in run.said(), PATIENCE_S)
        wait_until(lambda: WAITING in run.said().partition(found)[2], PATIENCE_S)
        assert not any(map(run.worker, run.tasks))
        with (
            running_worker(dask.address, project, environment()) as good,
            running_worker(dask.address, elsewhere, environment()),
        ):
            wait_until(lambda: any(map(run.worker, run.tasks)), PATIENCE_S)
            wait_until(lambda: run.said().count(found) == 2, PATIENCE_S)
            printed = run.finish()
            assert sorted(line.split()[0] for line in printed) == ["a", "b", "c"]
            assert {parent_of(run.first(task).pid) for task in run.tasks} == {good.pid}


STUCK = """
import os, posix, time
from pathlib import Path


def stuck(path="."):
    while os.path.exists("{flag}"):
        time.sleep(0.1)
    return posix.listdir(path)

os.listdir = stuck
"""
"""Lets a worker wait for its disk while there is a file."""


def test_a_worker_whose_disk_is_stuck_is_named_and_its_task_is_offered_to_another(
    tmp_path: Path,
) -> None:
    flag, preload = tmp_path / "flag", tmp_path / "stuck.py"
    preload.write_text(STUCK.format(flag=flag))
    with (
        running_scheduler(tmp_path, environment()) as (_, address),
        running_worker(address, tmp_path, environment(), "--preload", str(preload)),
        driven(at(address), tmp_path, ("a",), IMPATIENT) as run,
    ):
        first = run.first("a")
        with running_worker(address, tmp_path, environment()):
            flag.touch()
            run.next_after("a", first)
            assert "note: workers must answer within 8 s, got nothing from tcp://" in run.said()
            assert [line.split()[0] for line in run.finish()] == ["a"]


def test_a_worker_or_scheduler_that_is_stopped_before_is_no_wait_without_a_word(
    tmp_path: Path,
) -> None:
    with running_dask(tmp_path, tmp_path, environment()) as dask:
        with driven(at(dask.address), tmp_path, ("a",), IMPATIENT) as run:
            os.kill(run.first("a").pid, signal.SIGSTOP)
            run.process.kill()
        with (
            running_worker(dask.address, tmp_path, environment()),
            driven(at(dask.address), tmp_path, ("b",), IMPATIENT) as run,
        ):
            run.first("b")
            dask.scheduler.send_signal(signal.SIGSTOP)
            wait_until(lambda: WAITING in run.said(), PATIENCE_S)
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(PATIENCE_S) == 128 + signal.SIGTERM


def test_a_local_worker_that_stops_is_replaced_though_it_is_the_only_one(tmp_path: Path) -> None:
    with driven({"kind": "local", "n_workers": 1}, tmp_path, ("a",), IMPATIENT) as run:
        first = run.first("a")
        os.kill(first.pid, signal.SIGSTOP)
        wait_until(lambda: run.worker("a") != first, 3 * PATIENCE_S)
        assert "note: workers must answer within 8 s, got nothing from tcp://" in run.said()
        assert "note: waiting for workers of local\n" in run.said()
        assert [line.split()[0] for line in run.finish()] == ["a"]
