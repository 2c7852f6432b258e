"""Workers as jobs of SLURM."""

import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dask import config
from dask_jobqueue.slurm import SLURMCluster

from stages.executor.local import NO_DASHBOARD, THREADS
from stages.executor.watch import TIMEOUT_S
from stages.settings.blocks import SlurmParams
from stages.settings.parsing import ParamsError
from storage.errors import listed

LOGS: Final = Path("logs", "slurm")
"""Output of the jobs and, while they run, the keys that admit them."""

LEAVE_S: Final = 120
"""How long before the end of a job's time its worker is told to stop."""

N_FRUITLESS: Final = 10
"""How often jobs may end without becoming a worker before no more are submitted."""

HELD: Final = "launch failed requeued held"
"""``squeue``'s reason for a job that waits forever because a node failed to launch it."""


@contextmanager
def slurm_cluster(params: SlurmParams) -> Iterator[SLURMCluster]:
    """Jobs that take one task at a time; a job that ends is replaced.

    Raises
    ------
    ParamsError
        If SLURM is not there or refuses the job script, or if this host lacks the interface.
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
    # A job that is requeued waits in the queue: another takes its place meanwhile.
    lost = config.set({"distributed.deploy.lost-worker-timeout": "2s"})
    with lost, _new_cluster(params) as cluster:
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
    """Watches for jobs that never become workers; Dask would wait for them forever.

    SLURM forgets jobs that are cancelled while they wait, and some jobs when its controller is
    killed; it takes no job meanwhile; it holds a job that a node failed to launch; other jobs end
    before they are workers, for want of a library, say.
    """

    def __init__(self, cluster: SLURMCluster) -> None:
        self._cluster = cluster
        self._n_fruitless = 0

    def look(self, n_workers: int) -> str:
        """Submit other jobs if there is no worker and SLURM has no job that may become one.

        Returns
        -------
        For a message: the jobs that are no workers yet, with SLURM's reasons.

        Raises
        ------
        ConnectionError
            If that was so again and again.
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
    """Why each job of the user is no worker yet, by its number; None if SLURM does not answer.

    Held jobs, which never run, are left out.
    """
    command = ["squeue", "--me", "--noheader", "--format=%i %r"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
        )
    except subprocess.SubprocessError:  # its controller is gone, say
        return None
    rows = [line.strip().partition(" ") for line in answer.stdout.splitlines()]
    # A job that runs has no reason to wait.
    return {job: "starts" if why == "None" else why for job, _, why in rows if why != HELD}


def _new_cluster(params: SlurmParams) -> SLURMCluster:
    """A scheduler in this process, without jobs."""
    gpus = [f"--gres=gpu:{params.gpus}"] if params.gpus else []
    leave = ["--requeue", "--open-mode=append", f"--signal=B:USR1@{LEAVE_S}"]
    return SLURMCluster(
        job_name="usam-worker",
        cores=1,
        processes=1,
        job_cpu=params.cores,
        memory=params.memory,
        queue=params.partition,
        account=params.account,
        walltime=params.walltime,
        interface=params.interface,
        # Signals reach Python only if it takes the place of the shell.
        python=f"exec {shlex.quote(sys.executable)}",
        nanny=False,
        worker_extra_args=["--memory-limit", "0", "--no-dashboard"],
        job_extra_directives=[*gpus, *leave, *params.directives],
        job_script_prologue=[f"export {name}={params.cores}" for name in THREADS],
        log_directory=str(LOGS),
        scheduler_options=dict(NO_DASHBOARD),
        # Anyone who reaches an open scheduler can run code as the user.
        security=True,
        shared_temp_directory=str(LOGS.resolve()),
    )


def _check_accepted(script: str) -> None:
    """Have SLURM test the job script, so that its refusal shows at once."""
    answer = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        refusal = " ".join(answer.stderr.split()) or f"status {answer.returncode}"
        raise ParamsError(f"executor.slurm must be settings that SLURM accepts, got {refusal!r}")
