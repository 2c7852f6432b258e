"""The executors ``slurm`` and ``address``, on a real SLURM and a real scheduler of Dask."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from stages.executor import slurm as executor
from stages.executor.executors import executor_of
from stages.executor.slurm import N_FRUITLESS, Jobs
from stages.settings.blocks import ExecutorParams, SlurmParams
from stages.settings.parsing import ParamsError
from tests.fixtures.dask_daemons import running_dask
from tests.fixtures.driven import PATIENCE_S, driven
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.slurm import N_CORES, Slurm, missing, wait_until

on_slurm = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing() or "SLURM is there"),
]

BLOCK: Final[dict[str, Any]] = {
    "kind": "slurm",
    "slurm": {
        "memory": "500MB",
        "cores": 1,
        "min_jobs": 2,
        "max_jobs": 2,
        "interface": "lo",
    },
}


def nothing_queued(slurm: Slurm) -> bool:
    """Whether SLURM has no job left."""
    return not slurm.run("squeue", "--noheader")


class TestOnSlurm:
    """Jobs and daemons that are cancelled, killed or held while a driver runs."""

    pytestmark = on_slurm

    def test_a_worker_that_is_cancelled_requeued_preempted_or_out_of_time_is_replaced(
        self, slurm: Slurm, tmp_path: Path
    ) -> None:
        with driven(BLOCK, tmp_path, ("a", "b"), slurm.environment) as run:
            first, other_worker = run.first("a"), run.first("b")
            assert first.job != other_worker.job
            slurm.run("scancel", first.job)
            second = run.next_after("a", first)

            slurm.run("scontrol", "requeue", second.job)
            third = run.next_after("a", second)

            # As SLURM does LEAVE_S before the end of a job's time.
            slurm.run("scancel", "--signal=USR1", "--batch", third.job)
            fourth = run.next_after("a", third)

            urgent = slurm.run(
                *("sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive"),
                *("--wrap", "sleep 2"),
                cwd=tmp_path,
            )
            # None of the four counts as a failure of the task.
            run.next_after("a", fourth)
            wait_until(lambda: slurm.state(urgent) == "COMPLETED", PATIENCE_S)
            printed = run.finish()
        assert sorted(line.split()[0] for line in printed) == ["a", "b"]
        wait_until(lambda: nothing_queued(slurm), PATIENCE_S)

    def test_a_worker_is_replaced_though_its_node_or_slurmctld_is_gone(
        self, slurm: Slurm, tmp_path: Path
    ) -> None:
        # One at a time: two that die at once may count as two deaths of the task.
        block = BLOCK | {"slurm": BLOCK["slurm"] | {"min_jobs": 1, "max_jobs": 1}}
        with driven(block, tmp_path, ("a",), slurm.environment) as run:
            first = run.first("a")
            slurm.kill_node(first.node)
            second = run.next_after("a", first)
            assert second.node != first.node
            slurm.start(first.node)

            slurm.kill(second.node)  # its daemon alone: what runs there goes on
            slurm.start(second.node)
            assert second.is_running()

            wait_until(slurm.is_up, PATIENCE_S)
            slurm.save(second.job)
            slurm.kill("slurmctld")
            second.kill()
            note = "note: waiting for workers of slurm, squeue does not answer"
            wait_until(lambda: note in run.said(), PATIENCE_S)
            slurm.start("slurmctld")
            run.next_after("a", second)
            assert [line.split()[0] for line in run.finish()] == ["a"]
        wait_until(lambda: nothing_queued(slurm), PATIENCE_S)

    def test_a_job_that_is_cancelled_before_it_begins_is_replaced(
        self, slurm: Slurm, tmp_path: Path
    ) -> None:
        exclusive = ("sbatch", "--parsable", "--nodes=2", "--exclusive", "--wrap", "sleep 1000")
        blocking_job = slurm.run(*exclusive, cwd=tmp_path)
        wait_until(lambda: slurm.state(blocking_job) == "RUNNING", PATIENCE_S)
        single_job = BLOCK | {"slurm": BLOCK["slurm"] | {"min_jobs": 1, "max_jobs": 1}}
        with driven(single_job, tmp_path, ("a",), slurm.environment) as run:

            def waiting() -> list[str]:
                pending = ("--states=PENDING", "--name=usam-worker", "--format=%i")
                return slurm.run("squeue", "--noheader", *pending).split()

            wait_until(waiting, PATIENCE_S)
            (first,) = waiting()
            note = f"note: waiting for workers of slurm: job {first} ("
            wait_until(lambda: note in run.said(), PATIENCE_S)
            slurm.run("scancel", first)
            wait_until(lambda: waiting() not in ([], [first]), PATIENCE_S)
            assert "note: no job of SLURM is left; others take their places" in run.said()
            slurm.run("scancel", blocking_job)
            assert [line.split()[0] for line in run.finish()] == ["a"]

    def test_a_job_that_slurm_holds_because_a_node_failed_to_launch_it_is_replaced(
        self, slurm: Slurm, tmp_path: Path
    ) -> None:
        single_job = BLOCK | {"slurm": BLOCK["slurm"] | {"min_jobs": 1, "max_jobs": 1}}
        held = ("squeue", "--noheader", "--states=PENDING", "--format=%i %r")
        slurm.break_nodes()
        with driven(single_job, tmp_path, ("a",), slurm.environment) as run:

            def held_job() -> str:  # of one look: the driver replaces the job soon
                job, _, why = slurm.run(*held).partition(" ")
                return job if why == "launch failed requeued held" else ""

            first = wait_until(held_job, PATIENCE_S)
            slurm.mend_nodes()
            assert run.first("a").job != first
            # A prolog that failed before the mending may have drained a node since.
            slurm.mend_nodes()
            assert "note: no job of SLURM is left; others take their places" in run.said()
            assert slurm.state(first) == "CANCELLED"
            assert [line.split()[0] for line in run.finish()] == ["a"]

    def test_a_driver_that_is_stopped_takes_its_jobs_along_those_that_wait_too(
        self, slurm: Slurm, tmp_path: Path
    ) -> None:
        four_jobs = BLOCK | {
            "slurm": BLOCK["slurm"] | {"cores": N_CORES, "min_jobs": 4, "max_jobs": 4}
        }
        with driven(four_jobs, tmp_path, ("a",), slurm.environment) as run:
            first = run.first("a")
            pending = ("squeue", "--noheader", "--states=PENDING", "--format=%i")
            wait_until(lambda: len(slurm.run(*pending).split()) == 2, PATIENCE_S)
            run.process.send_signal(signal.SIGTERM)
            assert run.process.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM
            assert "stopped by SIGTERM: what is done is kept; run it again" in run.said()
            # By SLURM's word, when the driver has ended.
            assert not slurm.run(*pending)
            wait_until(lambda: not first.is_running(), PATIENCE_S)
        wait_until(lambda: nothing_queued(slurm), PATIENCE_S)

    def test_what_slurm_refuses_is_told_at_once(
        self, slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
        params = ExecutorParams(kind="slurm", slurm=SlurmParams(partition="none", interface="lo"))
        with (
            pytest.raises(ParamsError, match=r"executor\.slurm must be .* invalid partition"),
            executor_of(params),
        ):
            pass


def test_without_slurm_the_kind_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ParamsError, match="find sbatch on the PATH"),
        executor.slurm_cluster(SlurmParams(), "worker", {}),
    ):
        pass


class Vanishing:
    """A cluster whose jobs are gone at every look."""

    def __init__(self) -> None:
        self.scaled: list[int] = []
        self.workers = {"7": SimpleNamespace(job_id="7"), "8": SimpleNamespace(job_id=None)}

    def scale(self, n: int) -> None:
        """Stand in for Dask's ``scale``."""
        self.scaled.append(n)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """File that a script in place of ``squeue`` prints; without the file, the script fails."""
    put_script("squeue", f"cat {tmp_path}/queue", monkeypatch, tmp_path)
    (tmp_path / "queue").touch()
    return tmp_path / "queue"


@pytest.mark.usefixtures("queue")
def test_jobs_that_never_become_workers_are_given_up() -> None:
    cluster = Vanishing()
    jobs = Jobs(cluster)  # type: ignore[arg-type]
    for n_workers in [0] * (N_FRUITLESS - 1) + [1] + [0] * (N_FRUITLESS - 1):
        jobs.look(n_workers)
    assert cluster.scaled == [0] * 2 * (N_FRUITLESS - 1)
    with pytest.raises(ConnectionError, match=r"must become workers, .* logs/slurm has what they"):
        jobs.look(0)


def test_jobs_that_may_yet_become_workers_are_waited_for(queue: Path) -> None:
    cluster = Vanishing()
    jobs = Jobs(cluster)  # type: ignore[arg-type]
    cluster.workers["9"] = SimpleNamespace(job_id="9")
    for content, waiting in (
        ("7 Resources\n9 None\n", ": job 7 (Resources), job 9 (starts)"),
        ("6 launch failed requeued held\n7 Priority\n", ": job 7 (Priority)"),
    ):
        queue.write_text(content)
        assert jobs.look(0) == waiting
    queue.unlink()
    assert jobs.look(0) == ", squeue does not answer"
    assert cluster.scaled == []
    queue.write_text("7 launch failed requeued held\n")
    assert jobs.look(0) == ""
    assert cluster.scaled == [0]


def put_script(name: str, does: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Put a script in the place of a command of SLURM."""
    script = folder / name
    script.write_text(f"#!/bin/sh\n{does}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize("uses_gpu", [True, False])
def test_jobs_are_named_by_their_work_and_ask_for_gpus_only_where_tasks_use_them(
    uses_gpu: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    put_script("sbatch", "cat >script\nexit 1", monkeypatch, tmp_path)
    params = ExecutorParams(kind="slurm", slurm=SlurmParams(gpus=2))
    with (
        pytest.raises(ParamsError, match="settings that SLURM accepts"),
        executor_of(params, "extract val/tiny/identity", uses_gpu=uses_gpu),
    ):
        pass
    script = Path("script").read_text()
    assert ("#SBATCH --gres=gpu:2" in script) == uses_gpu
    assert "#SBATCH -J usam-extract-val-tiny-identity\n" in script


def test_a_network_that_this_host_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    put_script("sbatch", "exit 0", monkeypatch, tmp_path)
    params = SlurmParams(interface="ib7")
    message = r"executor\.slurm\.interface must be a network of this host, lo.*, got 'ib7'"
    with pytest.raises(ParamsError, match=message), executor.slurm_cluster(params, "worker", {}):
        pass


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_named_and_its_workers_end(
    tmp_path: Path,
) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with running_dask(tmp_path, tmp_path, environment) as dask:
        executor = {"kind": "address", "address": dask.address}
        with driven(executor, tmp_path, ("a",)) as run:
            run.first("a")
            dask.scheduler.kill()
            assert run.process.wait(timeout=PATIENCE_S) == 1
            error = "error: the scheduler of the workers must stay up, got no answer\n"
            assert run.said_at_last() == error
            dask.worker.wait(timeout=PATIENCE_S)
        with driven(executor, tmp_path, ("a",)) as run:
            assert run.process.wait(timeout=PATIENCE_S) == 1
            assert f"got no answer from {dask.address}" in run.said()
