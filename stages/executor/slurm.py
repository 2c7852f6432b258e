"""Starts Dask workers as jobs of SLURM, and replaces jobs that end."""

import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from dask import config
from dask_jobqueue.slurm import SLURMCluster

from stages.executor.local import THREADS
from stages.executor.watch import TIMEOUT_S
from stages.settings.blocks import SlurmParams
from stages.settings.parsing import ParamsError
from storage.errors import listed

LOGS: Final = Path("logs", "slurm")
"""Folder of the jobs' output and, while jobs run, of the keys by which they join the scheduler."""

LEAVE_S: Final = 120
"""Seconds before the end of a job's time at which SLURM signals its worker to stop."""

N_FRUITLESS: Final = 10
"""Number of attempts in a row without a worker, after which ``Jobs`` gives up with an error."""

HELD: Final = "launch failed requeued held"
"""Reason that ``squeue`` prints for a job that waits forever, since a node failed to launch it."""


@contextmanager
def slurm_cluster(params: SlurmParams, name: str, web: Mapping[str, Any]) -> Iterator[SLURMCluster]:
    """Yield a Dask cluster whose workers are jobs of SLURM; a job runs one task at a time.

    A job that ends is replaced. Jobs are cancelled at the end of the block. ``name`` says what the
    jobs do, and ``web`` has the ``web_options`` of the scheduler.

    Raises
    ------
    ParamsError
        If ``sbatch`` is missing or refuses the jobs, or this host lacks the network interface in
        the settings.
    """
    if shutil.which("sbatch") is None:
        raise ParamsError("executor.kind slurm must find sbatch on the PATH, got none")
    networks = [name for _, name in socket.if_nameindex()]
    if params.interface not in {None, *networks}:
        raise ParamsError(
            f"executor.slurm.interface must be a network of this host, {', '.join(networks)}, got "
            f"{params.interface!r}"
        )
    LOGS.mkdir(parents=True, exist_ok=True)
    # A requeued job waits in the queue: another job takes its place meanwhile.
    lost = config.set({"distributed.deploy.lost-worker-timeout": "2s"})
    with lost, _new_cluster(params, name, web) as cluster:
        _check_accepted(cluster.job_script())
        # Not `scale`, which never replaces a job.
        cluster.adapt(minimum_jobs=params.min_jobs, maximum_jobs=params.max_jobs)
        try:
            yield cluster
        finally:
            # A job that `sbatch` refused while SLURM's controller was away is never closed by
            # dask-jobqueue, and Dask asserts at its end that all of these are.
            cluster._created.clear()  # noqa: SLF001 - there is no public way


class Jobs:
    """Replaces jobs of SLURM that never become workers: Dask would wait for them forever.

    A call of ``look`` lets Dask submit new jobs, and raises an error after ``N_FRUITLESS`` attempts
    in a row that gave no worker. Nothing happens between calls.

    SLURM forgets jobs that are cancelled while they wait. When its controller is killed, it forgets
    some jobs and accepts no new jobs. It holds a job that a node fails to launch. Other jobs end
    before they are workers, for example because a library is missing.
    """

    def __init__(self, cluster: SLURMCluster) -> None:
        self._cluster = cluster
        self._n_fruitless = 0

    def look(self, n_workers: int) -> str:
        """Let Dask submit new jobs if no worker can take tasks and no job can become a worker.

        The returned text ends a note: it has the jobs that are not workers yet, with SLURM's
        reasons, or says that ``squeue`` does not answer. It is empty with workers or without jobs.

        Raises
        ------
        ConnectionError
            If ``N_FRUITLESS`` attempts in a row gave no worker.
        """
        if n_workers:
            self._n_fruitless = 0
            return ""
        submitted = {job.job_id for job in list(self._cluster.workers.values())}
        reasons = reasons_of_jobs()
        if reasons is None:
            return ", squeue does not answer"
        waiting = [f"job {job} ({reasons[job]})" for job in submitted if job in reasons]
        if waiting or not submitted:
            return f": {listed(sorted(waiting))}" if waiting else ""
        self._n_fruitless += 1
        if self._n_fruitless == N_FRUITLESS:
            raise ConnectionError(
                f"jobs of SLURM must become workers, got none in {N_FRUITLESS} attempts in a row; "
                f"{LOGS} has what they printed"
            )
        print("note: no job of SLURM is left; others take their places", file=sys.stderr)
        self._cluster.scale(0)  # type: ignore[no-untyped-call]  # until `adapt` asks for some again
        return ""


def reasons_of_jobs() -> dict[str, str] | None:
    """SLURM's reason why each job of the user waits, by job number; ``starts`` for a running job.

    Jobs that SLURM holds because a node failed to launch them never run, and are left out. None if
    ``squeue`` fails or does not answer.
    """
    command = ["squeue", "--me", "--noheader", "--format=%i %r"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
        )
    except subprocess.SubprocessError:  # for example, SLURM's controller is gone
        return None
    rows = [line.strip().partition(" ") for line in answer.stdout.splitlines()]
    # A job that runs has no reason to wait.
    return {job: "starts" if why == "None" else why for job, _, why in rows if why != HELD}


def _new_cluster(params: SlurmParams, name: str, web: Mapping[str, Any]) -> SLURMCluster:
    """Make a Dask scheduler in this process for workers that are SLURM jobs; submit no job yet."""
    gpus = [f"--gres=gpu:{params.gpus}"] if params.gpus else []
    leave = ["--requeue", "--open-mode=append", f"--signal=B:USR1@{LEAVE_S}"]
    return SLURMCluster(
        # In the names of files, too.
        job_name=re.sub(r"[^\w.]+", "-", f"usam {name}"),
        cores=1,
        processes=1,
        job_cpu=params.cores,
        memory=params.memory,
        queue=params.partition,
        account=params.account,
        walltime=params.walltime,
        interface=params.interface,
        # Signals reach Python only if Python replaces the shell.
        python=f"exec {shlex.quote(sys.executable)}",
        nanny=False,
        worker_extra_args=["--memory-limit", "0", "--no-dashboard"],
        job_extra_directives=[*gpus, *leave, *params.directives],
        job_script_prologue=[f"export {name}={params.cores}" for name in THREADS],
        log_directory=str(LOGS),
        scheduler_options=dict(web),
        # Without keys, anyone who reaches the scheduler could run code as the user.
        security=True,
        shared_temp_directory=str(LOGS.resolve()),
    )


def _check_accepted(script: str) -> None:
    """Test the job script by ``sbatch --test-only``, which submits no job; raise its refusal."""
    answer = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        refusal = " ".join(answer.stderr.split()) or f"status {answer.returncode}"
        raise ParamsError(f"executor.slurm must be settings that SLURM accepts, got {refusal!r}")
