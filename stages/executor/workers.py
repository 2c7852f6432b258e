"""Dask's executors: processes of this machine, workers of a scheduler, or jobs of SLURM."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final, TypeVar

from dask import config
from distributed import (
    Client,
    Future,
    KilledWorker,
    Status,
    Worker,
    WorkerPlugin,
    wait,
)
from distributed.client import FuturesCancelledError
from distributed.utils import silence_logging_cmgr

from stages.executor.local import SILENT, Waiting, local_cluster
from stages.executor.tasks import N_TRIES, Done, Failure, Run, Task
from stages.settings.blocks import ExecutorParams
from stages.settings.parsing import ParamsError
from storage.errors import DataError

T = TypeVar("T")

TIMEOUT_S: Final = 10
"""How long a scheduler may take to answer."""

LOOK_S: Final = 5.0
"""Longest time between two looks at the workers."""

LOST: Final = "distributed.deploy.lost-worker-timeout"
"""How long after its end a worker may come back, before Dask gives up its process or job."""

CONFIG: Final[Mapping[str, Any]] = MappingProxyType(
    {
        # A task that takes its worker with it three times has failed.
        "distributed.scheduler.allowed-failures": N_TRIES - 1,
        # A worker is sent no task before it is free: those it has when it dies count as failed.
        "distributed.scheduler.worker-saturation": 1.0,
    }
)


@contextmanager
def dask_executor(params: ExecutorParams, *, uses_gpu: bool) -> Iterator[Run]:
    """Workers as the settings ask for them, which end with the block.

    Raises
    ------
    ConnectionError
        If they cannot be reached; as tasks run, if jobs end before they are workers.
    ParamsError
        If SLURM is not there, or does not take the jobs; or if keys for the scheduler are missing.
    """
    with ExitStack() as stack:
        stack.enter_context(config.set(CONFIG))
        stack.enter_context(silence_logging_cmgr(SILENT))
        where, look = _scheduler(params, stack, uses_gpu=uses_gpu)
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
        client.register_plugin(LeaveAtOnce())
        # Jobs of SLURM come only where tasks wait for them.
        n_least = params.slurm.max_jobs if params.kind == "slurm" else 1
        yield partial(_run, client, n_least, look)


def _run(
    client: Client, n_least: int, look: Callable[[int], None], tasks: Iterable[Task[T]]
) -> Iterator[Done[T] | Failure]:
    """What becomes of each task; one more per worker is handed over than it runs.

    Parameters
    ----------
    n_least
        How many workers there are, or may soon be, at least.
    look
        Called now and then with how many there are.

    Raises
    ------
    ConnectionError
        If the scheduler is gone.
    """
    todo, running, n_workers = iter(tasks), dict[Future[T], Task[T]](), 0
    while True:
        with suppress(OSError):  # a scheduler that is gone ends the tasks: they tell
            n_workers = len(client.nthreads())  # type: ignore[no-untyped-call]
        look(n_workers)
        for task in islice(todo, max(0, 2 * max(n_workers, n_least) - len(running))):
            running[client.submit(task.run, pure=False, retries=N_TRIES - 1)] = task
        if not running:
            return
        for future in _ended(running):
            outcome = _outcome(running[future], future)
            if outcome is not None:
                del running[future]
                yield outcome


def _ended(running: Iterable[Future[T]]) -> Iterable[Future[T]]:
    """Tasks that have ended, when there are any, or none after a while."""
    try:
        return wait(list(running), timeout=LOOK_S, return_when="FIRST_COMPLETED").done  # type: ignore[no-untyped-call,no-any-return]
    except TimeoutError:
        return ()
    except FuturesCancelledError as error:
        raise ConnectionError("the scheduler of the workers must stay up, got no answer") from error


def _outcome(task: Task[T], future: Future[T]) -> Done[T] | Failure | None:
    """What became of a task that has ended; None if it is done again, its worker having died."""
    if future.status != "error":
        try:
            return Done(task, future.result(timeout=LOOK_S))
        except TimeoutError:
            return None
    error = future.exception()  # type: ignore[no-untyped-call]
    if not isinstance(error, KilledWorker):
        return Failure(task, error.with_traceback(future.traceback()))  # type: ignore[no-untyped-call]
    died = DataError(
        f"workers must live through {task.name}, got all that tried it dead, for want of memory "
        "perhaps"
    )
    return Failure(task, died)


def _scheduler(
    params: ExecutorParams, stack: ExitStack, *, uses_gpu: bool
) -> tuple[Any, Callable[[int], None]]:
    """A cluster of Dask's, or the address of one, and what is to be called now and then."""
    if params.kind == "address":
        return params.address, Waiting(params.kind).look
    if params.kind == "slurm":
        from stages.executor.slurm import Jobs, slurm_cluster  # noqa: PLC0415 - half a second

        # A job that is requeued waits in the queue: another takes its place meanwhile.
        stack.enter_context(config.set({LOST: "2s"}))
        jobs = params.slurm if uses_gpu else replace(params.slurm, gpus=0)
        cluster = stack.enter_context(slurm_cluster(jobs))
        return cluster, Jobs(cluster).look
    folder = stack.enter_context(TemporaryDirectory(prefix="usam-workers-"))
    # A nanny that is starting a process anew is no lost worker, however long that takes: Dask
    # would close it if its worker is away again when this time has passed.
    stack.enter_context(config.set({LOST: "100 days"}))
    local = stack.enter_context(local_cluster(params.n_workers, folder, uses_gpu=uses_gpu))
    return local, Waiting(params.kind).look


class LeaveAtOnce(WorkerPlugin):
    """Lets a worker that is to end do so at once: what its task has not written is done again.

    Dask would let the task run on until the process is killed. SLURM sends SIGTERM to jobs that are
    cancelled, requeued or preempted, and SIGUSR1, where it is asked to, to those whose time is
    nearly over.
    """

    name = "leave-at-once"

    def setup(self, worker: Worker) -> None:
        """Listen to signals; called in the main thread of the process, whose loop it is."""
        loop = asyncio.get_running_loop()
        leaving: list[asyncio.Task[None]] = []
        for number in (signal.SIGTERM, signal.SIGUSR1):
            loop.add_signal_handler(
                number, lambda: leaving.append(loop.create_task(_leave(worker)))
            )
        # Ctrl-C reaches all processes of a terminal; the driver tells its workers to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Worker) -> None:
        """Called before a worker that ends waits for its task.

        Also called where the next stage sends the same worker its own copy of this.
        """
        if worker.status is Status.closing:
            os._exit(0)


async def _leave(worker: Worker) -> None:
    """Hand the task back, so that this does not count as a death, and end."""
    try:
        await worker.scheduler.retire_workers(
            workers=[worker.address], close_workers=False, remove=True, stimulus_id="leave"
        )
    finally:
        os._exit(0)
