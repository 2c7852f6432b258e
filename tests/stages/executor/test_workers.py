"""The executor ``address``: workers and schedulers that do not answer, die or start elsewhere."""

import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from stages.executor.executors import executor_of
from stages.executor.tasks import Task, results_of
from stages.executor.watch import TTL
from stages.settings.blocks import ExecutorParams
from tests.fixtures import tasks
from tests.fixtures.dask_daemons import Process, running_dask, running_scheduler, running_worker
from tests.fixtures.driven import PATIENCE_S, driven
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.pipes import ended_after
from tests.fixtures.slurm import wait_until

pytestmark = pytest.mark.slow

WAITING = "note: waiting for workers of address\n"

IMPATIENT = {**os.environ, "SILENT_S": "4"}
"""Environment of drivers that wait 4 s for a heartbeat, not 30."""


def environment() -> Mapping[str, str]:
    """Environment of a worker that starts in another folder than the source code's."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def impatient(ttl: str = "8 s") -> Mapping[str, str]:
    """Environment of a scheduler that waits 8 s for a heartbeat, not 5 minutes; ``null``: ever."""
    return {**environment(), "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": ttl}


def at(address: str) -> dict[str, Any]:
    """The setting ``executor``."""
    return {"kind": "address", "address": address}


def parent_of(pid: int) -> int:
    """The process that started a process."""
    return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("ttl", ["8 s", "null"])
def test_a_worker_that_stops_is_named_and_its_task_goes_to_another(
    ttl: str, tmp_path: Path
) -> None:
    with (
        running_dask(tmp_path, tmp_path, impatient(ttl)) as dask,
        driven(at(dask.address), tmp_path, ("a",), IMPATIENT) as run,
    ):
        first = run.first("a")
        with running_worker(dask.address, tmp_path, environment()):
            os.kill(first.pid, signal.SIGSTOP)
            wait_until(lambda: "must answer" in run.said(), PATIENCE_S)
            if ttl == "null":
                os.kill(first.pid, signal.SIGKILL)
            second = run.next_after("a", first)
            assert second.pid != first.pid
            lines = [line for line in run.said().splitlines() if "must answer" in line]
            assert lines[0].startswith(
                "note: workers must answer within 4 s, got nothing from tcp://1"
            )
            assert lines[0].endswith(f"its scheduler's {TTL}, or once it is ended")
            assert [line.split()[0] for line in run.finish()] == ["a"]


def test_a_worker_in_another_folder_is_named_and_gets_no_work(tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    with (
        running_dask(tmp_path, elsewhere, environment()) as dask,
        driven(at(dask.address), project, ("a", "b", "c"), IMPATIENT) as run,
    ):
        note = f"note: workers must start in {project}, got tcp://127.0.0.1:"
        wait_until(lambda: f" in {elsewhere}\n" in run.said(), PATIENCE_S)
        wait_until(lambda: WAITING in run.said().partition(note)[2], PATIENCE_S)
        assert not any(map(run.worker, run.tasks))
        with (
            running_worker(dask.address, project, environment()) as good,
            running_worker(dask.address, elsewhere, environment()),
        ):
            wait_until(lambda: any(map(run.worker, run.tasks)), PATIENCE_S)
            wait_until(lambda: run.said().count(note) == 2, PATIENCE_S)
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
"""Makes a worker wait for its disk while a file exists."""


def test_a_worker_whose_disk_is_stuck_is_named_and_its_task_goes_to_another(
    tmp_path: Path,
) -> None:
    flag, preload = tmp_path / "flag", tmp_path / "stuck.py"
    preload.write_text(STUCK.format(flag=flag))
    with (
        running_scheduler(tmp_path, impatient()) as (_, address),
        running_worker(address, tmp_path, environment(), "--preload", str(preload)),
        driven(at(address), tmp_path, ("a",), IMPATIENT) as run,
    ):
        first = run.first("a")
        with running_worker(address, tmp_path, environment()):
            flag.touch()
            run.next_after("a", first)
            assert "note: workers must answer within 4 s, got nothing from tcp://" in run.said()
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
            n_notes = run.said().count(WAITING)
            dask.scheduler.send_signal(signal.SIGSTOP)
            wait_until(lambda: run.said().count(WAITING) > n_notes, PATIENCE_S)
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(PATIENCE_S) == 128 + signal.SIGTERM


def test_a_local_worker_that_stops_is_replaced_though_it_is_the_only_one(tmp_path: Path) -> None:
    with driven({"kind": "local", "n_workers": 1}, tmp_path, ("a",), IMPATIENT) as run:
        first = run.first("a")
        os.kill(first.pid, signal.SIGSTOP)
        wait_until(lambda: run.worker("a") != first, 3 * PATIENCE_S)
        assert "note: workers must answer within 4 s, got nothing from tcp://" in run.said()
        assert [line.split()[0] for line in run.finish()] == ["a"]


class Crew:
    """Workers of a scheduler, good and in another folder, to which events happen."""

    def __init__(self, address: str, project: Path, elsewhere: Path, stack: ExitStack) -> None:
        self._address = address
        self._project = project
        self._elsewhere = elsewhere
        self._stack = stack
        self.alive: list[Process] = []
        self._stopped: list[Process] = []

    def join(self) -> None:
        """A good worker joins."""
        self.alive.append(self._start(self._project))

    def join_elsewhere(self) -> None:
        """A worker in another folder joins."""
        self._start(self._elsewhere)

    def stop(self) -> None:
        """The oldest good worker stops."""
        if self.alive:
            self._stopped.append(self.alive.pop(0))
            self._stopped[-1].send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """A stopped worker goes on; perhaps its scheduler has dropped it."""
        if self._stopped:
            self._stopped.pop(0).send_signal(signal.SIGCONT)

    def die(self) -> None:
        """The oldest good worker dies."""
        if self.alive:
            self.alive.pop(0).kill()

    def end_stopped(self) -> None:
        """Kill the workers that are stopped, which would answer no further driver."""
        while self._stopped:
            self._stopped.pop().kill()

    def _start(self, folder: Path) -> Process:
        worker = running_worker(self._address, folder, environment(), "--no-nanny")
        return self._stack.enter_context(worker)


EVENTS = (Crew.join, Crew.join_elsewhere, Crew.stop, Crew.go_on, Crew.die)


@pytest.mark.parametrize(
    "seeds", [range(3), pytest.param(range(3, 20), marks=pytest.mark.full_size)], ids=str
)
def test_random_sequences_of_events_end_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: range
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    (project / "project").touch()
    monkeypatch.chdir(project)
    patience = {**environment(), "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "6 s"}
    with running_scheduler(tmp_path, patience) as (_, address), ExitStack() as stack:
        crew = Crew(address, project, elsewhere, stack)
        crew.join_elsewhere()
        for seed in seeds:
            rng = random.Random(seed)
            while len(crew.alive) < 2:
                crew.join()
            events = [*rng.choices(EVENTS, k=3), Crew.join]
            todo = [Task(f"{seed}-{i}", tasks.rest_in_project, (0.5, i)) for i in range(8)]
            params = ExecutorParams(kind="address", address=address)
            with ended_after(int(5 * PATIENCE_S)), executor_of(params) as run:
                thread = Thread(target=happen, args=(crew, events, rng))
                thread.start()
                assert results_of(run, todo) == list(range(8)), events
                thread.join()
                crew.end_stopped()


def happen(crew: Crew, events: Sequence[Callable[[Crew], None]], rng: random.Random) -> None:
    """Let events happen, a moment apart."""
    for event in events:
        time.sleep(rng.uniform(0, 1))
        event(crew)
