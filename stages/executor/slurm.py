"""Workers as jobs of SLURM."""

import asyncio
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event
from typing import Final

from dask_jobqueue.slurm import SLURMCluster, SLURMJob
from distributed.utils import get_ip_interface

from stages.executor.local import NO_DASHBOARD, SILENT, THREADS
from stages.shell.blocks import SlurmParams
from stages.shell.edge import one_line
from stages.shell.parsing import ParamsError

LOGS: Final = Path("logs", "slurm")
"""What the jobs print, and while they run the keys that let them in."""

LEAVE_S: Final = 120
"""How long before a job's time is up its worker is told to go."""

RETRY_S: Final = 5.0
"""Time between two tries to hand in a job."""

LOOK_S: Final = 10.0
"""Time between two looks for jobs that SLURM has forgotten."""

N_FRUITLESS: Final = 10
"""Looks in a row that find jobs gone and no worker, after which no more jobs are handed in."""

HELD: Final = b"launch failed requeued held"
"""Why a job waits that a node failed to launch, as ``squeue`` says it."""

_is_over: Final = Event()
"""Set once the jobs are no longer wanted."""

_are_fruitless: Final = Event()
"""Set once jobs end again and again before they are workers."""


class PatientJob(SLURMJob):
    """A job that is handed in again while SLURM does not answer.

    Dask would take a job that was refused once for one that is on its way, for ever.
    """

    async def _submit_job(self, script_filename: str) -> str:
        while True:
            try:
                answer: str = await super()._submit_job(script_filename)  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                if _is_over.is_set():
                    raise
                said = one_line(error).partition("stderr: ")[2]
                print(f"note: SLURM takes no job, asking again: {said}", file=sys.stderr)
                await asyncio.sleep(RETRY_S)
            else:
                return answer


@contextmanager
def slurm_cluster(params: SlurmParams) -> Iterator[SLURMCluster]:
    """Jobs that each take a task at a time; one that ends is replaced.

    Raises
    ------
    ParamsError
        If SLURM is not there, or refuses such a job; or if this host has no such interface.
    """
    if shutil.which("sbatch") is None:
        raise ParamsError("executor.kind must be other than slurm where no sbatch is on the PATH")
    _check_interface(params.interface)
    LOGS.mkdir(parents=True, exist_ok=True)
    _is_over.clear()
    _are_fruitless.clear()
    with _new_cluster(params) as cluster:
        _check_accepted(cluster.job_script())
        # Not `scale`, which never replaces a job.
        cluster.adapt(minimum_jobs=params.min_jobs, maximum_jobs=params.max_jobs)
        cluster.loop.add_callback(_replace_vanished, cluster)
        try:
            yield cluster
        finally:
            _is_over.set()


def _new_cluster(params: SlurmParams) -> SLURMCluster:
    """A scheduler in this process, which has no job yet."""
    return SLURMCluster(
        job_cls=PatientJob,  # type: ignore[arg-type]  # a class, whatever Dask's annotation says
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
        job_extra_directives=_directives(params),
        job_script_prologue=[f"export {name}={params.cores}" for name in THREADS],
        log_directory=str(LOGS),
        scheduler_options=dict(NO_DASHBOARD),
        # Who can reach an open scheduler can run anything under the user's name.
        security=True,
        shared_temp_directory=str(LOGS.resolve()),
        silence_logs=SILENT,
    )


async def _replace_vanished(cluster: SLURMCluster) -> None:
    """Give up jobs that never became workers and that SLURM will not start, so that others come.

    Dask waits for them for ever. SLURM forgets those that are cancelled while they wait, and some
    when its controller is killed; it holds those that a node failed to launch until somebody
    releases them; others end before they are workers, for want of a library, say.
    """
    n_fruitless = 0
    while not (_is_over.is_set() or _are_fruitless.is_set()):
        await asyncio.sleep(LOOK_S)
        n_gone = 0
        for name in cluster.workers.keys() - cluster.observed:
            job = cluster.workers[name].job_id
            if job is not None and await _is_gone(job):
                print(f"note: job {job} of SLURM is gone; another takes its place", file=sys.stderr)
                cluster.worker_spec.pop(name, None)
                cluster.workers.pop(name, None)
                n_gone += 1
        n_fruitless = 0 if cluster.observed else n_fruitless + bool(n_gone)
        if n_fruitless == N_FRUITLESS:
            _are_fruitless.set()


def check_jobs() -> None:
    """Refuse to wait for jobs that never become workers.

    Raises
    ------
    ConnectionError
        If that was so again and again.
    """
    if _are_fruitless.is_set():
        raise ConnectionError(
            f"jobs of SLURM must become workers, got {N_FRUITLESS} times in a row some that ended "
            f"before, and no worker; {LOGS} has what they printed"
        )


async def _is_gone(job: str) -> bool:
    """Whether SLURM answers that no such job runs or may yet; one that it holds is cancelled."""
    status, out, err = await _answer("squeue", "--noheader", "--jobs", job, "--format=%r")
    if status:
        return b"Invalid job id" in err
    if out.strip() == HELD:
        await _answer("scancel", job)
    return out.strip() in {b"", HELD}


async def _answer(*command: str) -> tuple[int | None, bytes, bytes]:
    """Status of a command of SLURM, and what it prints."""
    asked = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asked.communicate()
    return asked.returncode, out, err


def _directives(params: SlurmParams) -> list[str]:
    gpus = [f"--gres=gpu:{params.gpus}"] if params.gpus else []
    return [
        *gpus,
        "--requeue",
        "--open-mode=append",
        f"--signal=B:USR1@{LEAVE_S}",
        *params.directives,
    ]


def _check_interface(name: str | None) -> None:
    """Refuse a network that Dask would refuse with a traceback, when it starts its scheduler."""
    if name is None:
        return
    try:
        get_ip_interface(name)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise ParamsError(
            f"executor.slurm.interface must be a network of this host, got {error}"
        ) from error


def _check_accepted(script: str) -> None:
    """Hand in a job that SLURM only looks at, for its refusal to be heard at once."""
    with NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        answer = subprocess.run(
            ["sbatch", "--test-only", file.name], capture_output=True, text=True, check=False
        )
    if answer.returncode:
        said = " ".join(answer.stderr.split()) or f"status {answer.returncode}"
        raise ParamsError(f"executor.slurm must be as SLURM takes jobs, got {said!r}")
