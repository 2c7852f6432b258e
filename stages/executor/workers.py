"""Dask's executors: processes of this machine, workers of a scheduler, or jobs of SLURM."""

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
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

from stages.executor.executors import N_TRIES, Done, Failure, Run, Task
from stages.executor.local import SILENT, VISIBLE, gpus_here, local_cluster
from stages.executor.watch import TIMEOUT_S, Elsewhere, Watch, Workers
from stages.settings.blocks import ExecutorParams
from storage.errors import DataError
from storage.folders import passing_folder
from storage.paths import WORK

T = TypeVar("T")

LOOK_S: Final = 5.0
"""Longest time between two looks at the workers."""

CONFIG: Final = MappingProxyType(
    {
        # A task that takes its worker with it three times has failed.
        "distributed.scheduler.allowed-failures": N_TRIES - 1,
        # A worker is sent no task before it is free: those it has when it dies count as failed.
        "distributed.scheduler.worker-saturation": 1.0,
        # One that gives no sign of life is replaced. It gives none while it loads a large library.
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
        If SLURM is not there, or does not take the jobs.
    """
    for handler in logging.getLogger("distributed").handlers:
        handler.setLevel(SILENT)
    gpus = gpus_here() if uses_gpu and params.kind == "local" else []
    # Jobs of SLURM come only where tasks wait for them.
    n_least = params.slurm.max_jobs if params.kind == "slurm" else 1
    with ExitStack() as stack:
        stack.enter_context(config.set(CONFIG))
        where, look_for = _scheduler(params, stack, gpus, uses_gpu=uses_gpu)
        client = _client(where)
        stack.callback(client.close, TIMEOUT_S)
        # A worker that does not answer keeps none waiting: the others have it, and those to come.
        with suppress(TimeoutError):
            client.sync(client.register_plugin, OnWorkers(gpus), callback_timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
        mark = stack.enter_context(passing_folder(WORK / "workers"))
        yield partial(_run, Watch(client, params.kind, look_for), n_least, str(mark))


def _scheduler(
    params: ExecutorParams, stack: ExitStack, gpus: Sequence[str], *, uses_gpu: bool
) -> tuple[Any, Callable[[int], None]]:
    """A Dask cluster or its address, and a function to call at every check."""
    if params.kind == "address":
        return params.address, lambda _: None
    if params.kind == "local":
        return stack.enter_context(local_cluster(params.n_workers, gpus)), lambda _: None
    from stages.executor.slurm import Jobs, slurm_cluster  # noqa: PLC0415 - half a second

    jobs = params.slurm if uses_gpu else replace(params.slurm, gpus=0)
    cluster = stack.enter_context(slurm_cluster(jobs))
    return cluster, Jobs(cluster).look


def _client(where: Any) -> Client:  # noqa: ANN401 - an address, or a cluster of Dask's
    try:
        return Client(where, timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
    except (OSError, TypeError) as error:  # the latter where there are no keys for tls://
        raise ConnectionError(
            "executor.address must be that of a Dask scheduler, which Dask has keys for if it is "
            f"tls://, got no answer from {where}"
        ) from error


def _run(
    watch: Watch, n_least: int, mark: str, tasks: Iterable[Task[T]]
) -> Iterator[Done[T] | Failure]:
    """Outcome of each task; each worker is handed one more than it runs.

    When all are handed over and a worker is silent, those that have not ended are once more: the
    first result counts.

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
    todo, running = iter(tasks), dict[Future[T | Elsewhere], Task[T]]()
    while True:
        workers = watch.look()
        is_open = bool(workers.free) or not (workers.silent or workers.elsewhere)
        n = 2 * max(len(workers.free) + len(workers.silent), n_least) if is_open else 0
        room = max(0, n - len(running))
        taken = list(islice(todo, room))
        if workers.silent and len(taken) < room:
            n_times = Counter(map(id, running.values()))
            taken += [task for task in running.values() if n_times[id(task)] == 1]
        running |= {_submit(watch.client, task, mark, workers): task for task in taken}
        if room and not running:
            return
        for future in _ended(running):
            outcome = _outcome(running[future], future) if future in running else None
            if isinstance(outcome, Elsewhere):
                watch.refuse(outcome)
                todo = chain([running.pop(future)], todo)
            elif outcome is not None:
                running = {one: task for one, task in running.items() if task is not outcome.task}
                yield outcome


def _submit(client: Client, task: Task[T], mark: str, workers: Workers) -> Future[T | Elsewhere]:
    """Submit a task, preferably to usable workers."""
    are_named = bool(workers.silent or workers.elsewhere)
    return client.submit(
        _result_where,
        mark,
        task,
        pure=False,
        retries=N_TRIES - 1,
        workers=workers.free if are_named else None,
        allow_other_workers=are_named,
    )


def _result_where(mark: str, task: Task[T]) -> T | Elsewhere:
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
    """Outcome of a task that has ended; None if its worker died and it is run again."""
    if future.status == "error":
        error = future.exception()  # type: ignore[no-untyped-call]
        if isinstance(error, KilledWorker):
            error = DataError(
                f"workers must live through {task.name}, got all that tried it dead, for want of "
                "memory perhaps"
            )
        return Failure(task, error.with_traceback(future.traceback()))  # type: ignore[no-untyped-call]
    try:
        result = future.result(timeout=LOOK_S)
    except TimeoutError:
        return None
    return result if isinstance(result, Elsewhere) else Done(task, result)


@dataclass
class OnWorkers(WorkerPlugin):
    """Lets a worker stop at once when told to; its unfinished task is run again.

    Dask would let the task run on until the process is killed. SLURM sends SIGTERM to jobs that are
    cancelled, requeued or preempted, and SIGUSR1, where it is asked to, to those whose time is
    nearly over.
    """

    gpus: Sequence[str]
    """Those of this machine, of which each process gets one; none where jobs have their own."""

    name = "usam"

    def setup(self, worker: Worker) -> None:
        """Listen to signals; called in the main thread of the process, whose loop it is."""
        if self.gpus:
            os.environ[VISIBLE] = self.gpus[int(worker.name) % len(self.gpus)]
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
    leave = worker.scheduler.retire_workers(
        workers=[worker.address], close_workers=False, remove=True, stimulus_id="leave"
    )
    try:
        await asyncio.wait_for(leave, TIMEOUT_S)
    finally:
        os._exit(0)
