"""Opens the workers that the settings name."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final

from dask import config
from distributed import Client, KilledWorker
from distributed.utils import silence_logging_cmgr

from stages.executor.local import SILENT, local_cluster
from stages.executor.tasks import Failure
from stages.executor.worker import LeaveInTime
from stages.shell.blocks import ExecutorParams
from stages.shell.parsing import ParamsError
from storage.errors import DataError

TIMEOUT_S: Final = 10
"""How long a scheduler may take to answer."""

COUNT_S: Final = 2.0
"""Time between two counts of the workers."""

TELL_S: Final = 60.0
"""Time between two words about workers that do not come."""

LOST: Final = "distributed.deploy.lost-worker-timeout"
"""How long after its end a worker may come back, before Dask gives up its process or job."""

CONFIG: Final[Mapping[str, Any]] = MappingProxyType(
    {
        # A task that takes its worker with it three times has failed.
        "distributed.scheduler.allowed-failures": 2,
        # A worker is sent no task before it is free: those it has when it dies count as failed.
        "distributed.scheduler.worker-saturation": 1.0,
        # Tasks hold an image or two, and nothing of theirs could be moved to the disk.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": False,
    }
)


@dataclass(frozen=True)
class Workers:
    """Workers that take tasks."""

    pool: Executor
    count: Callable[[], int]
    """How many there are now, or may soon be."""


@contextmanager
def workers_of(params: ExecutorParams, *, uses_gpu: bool) -> Iterator[Workers]:
    """Workers as the settings ask for them, which end with the block.

    Raises
    ------
    ConnectionError
        If they cannot be reached; from ``Workers.count``, if jobs end before they are workers.
    ParamsError
        If SLURM is not there, or does not take the jobs; or if keys for the scheduler are missing.
    """
    with ExitStack() as stack:
        stack.enter_context(config.set(CONFIG))
        stack.enter_context(silence_logging_cmgr(SILENT))
        where = _scheduler(params, stack, uses_gpu=uses_gpu)
        try:
            client = stack.enter_context(Client(where, timeout=TIMEOUT_S))  # type: ignore[no-untyped-call]
        except OSError as error:
            raise ConnectionError(
                f"executor.address must be that of a Dask scheduler, got no answer from {where}"
            ) from error
        except TypeError as error:
            if params.kind != "address":
                raise
            # Dask's for tls:// without a certificate.
            raise ParamsError(
                f"executor.address must be one that Dask has TLS keys for, got {where}"
            ) from error
        client.register_plugin(LeaveInTime())
        yield Workers(client.get_executor(pure=False, retries=0), _count_of(client, params))


def _scheduler(params: ExecutorParams, stack: ExitStack, *, uses_gpu: bool) -> Any:  # noqa: ANN401 - a cluster of Dask's, or the address of one
    if params.kind == "address":
        return params.address
    if params.kind == "slurm":
        from stages.executor.slurm import slurm_cluster  # noqa: PLC0415 - half a second

        # A job that is requeued waits in the queue: another takes its place meanwhile.
        stack.enter_context(config.set({LOST: "2s"}))
        jobs = params.slurm if uses_gpu else replace(params.slurm, gpus=0)
        return stack.enter_context(slurm_cluster(jobs))
    folder = stack.enter_context(TemporaryDirectory(prefix="usam-workers-"))
    # A nanny that is starting a process anew is no lost worker, however long that takes: Dask
    # would close it if its worker is away again when this time has passed.
    stack.enter_context(config.set({LOST: "100 days"}))
    return stack.enter_context(local_cluster(params.n_workers, folder, uses_gpu=uses_gpu))


def _count_of(client: Client, params: ExecutorParams) -> Callable[[], int]:
    """A count of the workers that asks the scheduler now and then, and tells if there is none."""
    wanted, check = 0, _no_check
    if params.kind == "slurm":
        from stages.executor.slurm import check_jobs  # noqa: PLC0415 - half a second

        # Jobs come only where tasks wait for them.
        wanted, check = params.slurm.max_jobs, check_jobs
    asked = told = time.monotonic() - TELL_S
    n = 0

    def count() -> int:
        nonlocal asked, told, n
        check()
        now = time.monotonic()
        if now - asked >= COUNT_S:
            with suppress(OSError):  # a scheduler that is gone ends the tasks: they tell
                n = len(client.nthreads())  # type: ignore[no-untyped-call]
            asked = now
            if n:
                told = now
            elif now - told >= TELL_S:
                print(f"note: waiting for workers of {params.kind}", file=sys.stderr)
                told = now
        return max(n, wanted)

    return count


def _no_check() -> None:
    """Workers that are no jobs need none."""


def named_deaths(failure: Failure) -> Failure:
    """The failure of a task whose workers died, in words; any other as it is."""
    if not isinstance(failure.error, KilledWorker):
        return failure
    died = DataError(
        f"workers must live through {failure.task.name}, got all that tried it dead, for want of "
        "memory perhaps"
    )
    return Failure(failure.task, died)
