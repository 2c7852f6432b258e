"""Dask's executors: processes of this machine, workers of a scheduler, or jobs of SLURM."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final, TypeVar

from dask import config
from distributed import (
    CancelledError,
    Client,
    Future,
    KilledWorker,
    Status,
    Worker,
    WorkerPlugin,
    get_worker,
    wait,
)

from stages.executor.local import SILENT, local_cluster
from stages.executor.tasks import N_TRIES, Done, Failure, Run, Task
from stages.executor.watch import TIMEOUT_S, Elsewhere, Watch, Workers
from stages.settings.blocks import ExecutorParams
from stages.settings.parsing import ParamsError
from storage.errors import DataError
from storage.folders import passing_folder
from storage.paths import WORK

T = TypeVar("T")

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
        # One that gives no sign of life is replaced. Libraries on a slow disk may take a while to
        # load, in which it gives none.
        "distributed.scheduler.worker-ttl": "60s",
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
    for handler in logging.getLogger("distributed").handlers:
        handler.setLevel(SILENT)
    with ExitStack() as stack:
        stack.enter_context(config.set(CONFIG))
        where, look_for = _scheduler(params, stack, uses_gpu=uses_gpu)
        client = stack.enter_context(_client(where))
        # A worker that does not answer keeps none waiting: the others have it, and those to come.
        with suppress(TimeoutError):
            client.sync(client.register_plugin, LeaveAtOnce(), callback_timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
        # Jobs of SLURM come only where tasks wait for them.
        n_least = params.slurm.max_jobs if params.kind == "slurm" else 1
        # Whoever works in the folder of this process sees it.
        mark = stack.enter_context(passing_folder(WORK / "workers"))
        yield partial(_run, Watch(client, params.kind, look_for), n_least, str(mark))


def _client(where: Any) -> Client:  # noqa: ANN401 - an address, or a cluster of Dask's
    try:
        return Client(where, timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConnectionError(
            f"executor.address must be that of a Dask scheduler, got no answer from {where}"
        ) from error
    except TypeError as error:
        if not str(where).startswith("tls:"):
            raise
        raise ParamsError(
            f"executor.address must be one that Dask has TLS keys for, got {where}"
        ) from error


def _run(
    watch: Watch, n_least: int, mark: str, tasks: Iterable[Task[T]]
) -> Iterator[Done[T] | Failure]:
    """What becomes of each task; one more per worker is handed over than it runs.

    What a silent worker has in hand is handed over to another, too: the first result counts.

    Parameters
    ----------
    n_least
        How many workers there are, or may soon be, at least.
    mark
        Relative path at which a worker must see something.

    Raises
    ------
    ConnectionError
        If the scheduler is gone.
    """
    todo, running, again = iter(tasks), dict[Future[T | Elsewhere], Task[T]](), set[str]()
    while True:
        workers = watch.look()
        held = watch.keys_of(workers.silent)
        stuck = {future for future in running if future.key in held}
        once_more = [one for one in stuck if workers.free and one.key not in again]
        again |= {one.key for one in once_more}
        todo = chain([running[one] for one in once_more], todo) if once_more else todo
        n = 2 * max(len(workers.free), n_least) if workers.free or not workers.all else 0
        room = n - len(running) + len(stuck)
        for task in islice(todo, max(0, room)):
            running[_submit(watch.client, task, mark, workers)] = task
        if not running and room > 0:
            return
        for future in _ended(running.keys() - stuck):
            outcome = _outcome(running[future], future) if future in running else None
            if isinstance(outcome, Elsewhere):
                watch.refuse(outcome)
                todo = chain([running.pop(future)], todo)
            elif outcome is not None:
                running = {one: task for one, task in running.items() if task is not outcome.task}
                yield outcome


def _submit(client: Client, task: Task[T], mark: str, workers: Workers) -> Future[T | Elsewhere]:
    """Hand a task over, to workers of use if some are not."""
    is_any = len(workers.free) == len(workers.all)
    return client.submit(  # type: ignore[no-untyped-call,no-any-return]
        _done_where,
        mark,
        task,
        pure=False,
        retries=N_TRIES - 1,
        workers=None if is_any else workers.free,
        allow_other_workers=not is_any,  # when those are gone
    )


def _done_where(mark: str, task: Task[T]) -> T | Elsewhere:
    """Result of a task, by a worker that sees the files of the driver."""
    if Path(mark).exists():
        return task.run()
    return Elsewhere(get_worker().address, str(Path.cwd()))


def _ended(running: Collection[Future[T]]) -> Collection[Future[T]]:
    """Tasks that have ended, when there are any, or none after a while."""
    if not running:
        time.sleep(LOOK_S)
        return ()
    try:
        return wait(list(running), timeout=LOOK_S, return_when="FIRST_COMPLETED").done  # type: ignore[no-untyped-call,no-any-return]
    except TimeoutError:
        return ()
    except CancelledError as error:
        raise ConnectionError("the scheduler of the workers must stay up, got no answer") from error


def _outcome(task: Task[T], future: Future[T | Elsewhere]) -> Done[T] | Failure | Elsewhere | None:
    """What became of a task that has ended; None if it is done again, its worker having died."""
    if future.status != "error":
        try:
            result = future.result(timeout=LOOK_S)
        except TimeoutError:
            return None
        return result if isinstance(result, Elsewhere) else Done(task, result)
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
    """A cluster of Dask's, or the address of one, and what is to be called at every look."""
    if params.kind == "address":
        return params.address, lambda _: None
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
    return local, lambda _: None


class LeaveAtOnce(WorkerPlugin):
    """Lets a worker that is to end do so at once: what its task has not written is done again.

    Dask would let the task run on until the process is killed. SLURM sends SIGTERM to jobs that are
    cancelled, requeued or preempted, and SIGUSR1, where it is asked to, to those whose time is
    nearly over.
    """

    name = "leave-at-once"

    def setup(self, worker: Worker) -> None:
        """Listen to signals; called in the main thread of the process, whose loop it is."""
        # Part of each sign of life: none is given while the disk is stuck.
        worker.metrics["usam-files"] = lambda _worker: len(list(Path().iterdir()))
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
        leave = worker.scheduler.retire_workers(
            workers=[worker.address], close_workers=False, remove=True, stimulus_id="leave"
        )
        await asyncio.wait_for(leave, TIMEOUT_S)
    finally:
        os._exit(0)
