"""Executors by Dask: in processes of this machine, by workers of a scheduler, or in SLURM jobs.

Dask distributes the tasks, retries them, and drops workers that die or fall silent. A worker gets
tasks after it has seen a folder that the driver made, since tasks contain relative paths.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from dask import config
from distributed import (
    CancelledError,
    Client,
    Future,
    KilledWorker,
    Security,
    Status,
    Worker,
    WorkerPlugin,
    rpc,
    wait,
)

from stages.executor.local import HOST, SILENT, VISIBLE, gpus_here, local_cluster, web_options
from stages.executor.tasks import N_TRIES, Done, Failure, Run, Task
from stages.executor.watch import LOOK_S, TIMEOUT_S, TTL, Watch
from stages.program.stopping import prepare_process
from stages.settings.blocks import ExecutorParams
from storage.errors import DataError
from storage.folders import passing_folder
from storage.paths import WORK

T = TypeVar("T")

CONFIG: Final = MappingProxyType(
    {
        # A task has failed if three workers died that had it.
        "distributed.scheduler.allowed-failures": N_TRIES - 1,
        # A silent worker is replaced after one to two minutes. A worker is silent while it loads a
        # large library.
        TTL: "60s",
    }
)


@contextmanager
def dask_executor(params: ExecutorParams, name: str, *, uses_gpu: bool) -> Iterator[Run]:
    """Yield an executor whose workers are those of the settings.

    Workers that this function starts end with the block; workers of a scheduler at an address stay.
    ``name`` says what the workers do. The address of Dask's dashboard is printed if the settings
    ask for it. A ``ConnectionError`` says that no scheduler is at the address or, while tasks run,
    that it is gone or that SLURM's jobs keep ending before they are workers.
    """
    for handler in logging.getLogger("distributed").handlers:
        handler.setLevel(SILENT)
    gpus = gpus_here() if uses_gpu and params.kind == "local" else []
    n_least = params.slurm.max_jobs if params.kind == "slurm" else 1
    with ExitStack() as stack:
        stack.enter_context(config.set(CONFIG))
        where, look_for = _scheduler(params, name, stack, gpus, uses_gpu=uses_gpu)
        client = Client(where, timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
        stack.callback(_close, client)
        if params.dashboard:
            _print_pages(client, is_own=params.kind != "address")
        mark = stack.enter_context(passing_folder(WORK / "workers"))
        stack.enter_context(_on_workers(client, OnWorkers(str(mark), gpus)))
        watch = Watch(client, kind=params.kind, mark=mark.name, look_for=look_for)
        yield partial(_run, watch, n_least)


def _scheduler(
    params: ExecutorParams, name: str, stack: ExitStack, gpus: Sequence[str], *, uses_gpu: bool
) -> tuple[Any, Callable[[int], str]]:
    """Make the Dask cluster of the settings, which ``stack`` closes, or take the address of one.

    Returned with it is the function ``look_for`` that ``Watch`` calls about the cluster's workers.
    """
    if params.kind == "address":
        assert params.address is not None  # the settings are checked
        check_scheduler(params.address)
        return params.address, lambda _: ""
    web = web_options(dashboard=params.dashboard)
    if params.kind == "local":
        return stack.enter_context(local_cluster(params.n_workers, gpus, web)), lambda _: ""
    from stages.executor.slurm import Jobs, slurm_cluster  # noqa: PLC0415 - half a second

    jobs = params.slurm if uses_gpu else replace(params.slurm, gpus=0)
    cluster = stack.enter_context(slurm_cluster(jobs, name, web))
    return cluster, Jobs(cluster).look


def _print_pages(client: Client, *, is_own: bool) -> None:
    """Print where Dask's pages are; ``is_own`` says that the scheduler has our ``web_options``."""
    link = urlsplit(client.dashboard_link)
    pages = f"http://{HOST}:{link.port}" if is_own else f"{link.scheme}://{link.netloc}"
    print(
        f"note: Dask's pages are {pages}/status and, for Prometheus, {pages}/metrics",
        file=sys.stderr,
    )


def check_scheduler(address: str) -> None:
    """Refuse an address without a Dask scheduler: Dask's client waits four minutes for an answer.

    Raises
    ------
    ConnectionError
        If no program or another program answers at the address, or Dask lacks the keys for an
        address ``tls://``.
    """
    kind = ""
    # Without keys for tls://, Dask raises a TypeError. Dask takes the first bytes of another
    # program's answer for the size of a message, for which no memory suffices.
    # In a thread of its own: a notebook, for one, already runs a loop in this thread.
    with suppress(OSError, TypeError, MemoryError), ThreadPoolExecutor(1) as pool:
        kind = pool.submit(lambda: asyncio.run(_answering(address))).result()
    if kind != "Scheduler":
        raise ConnectionError(
            "executor.address must be that of a Dask scheduler, which Dask has keys for if it is "
            f"tls://, got {f'a {kind}' if kind else 'no answer'} from {address}"
        )


async def _answering(address: str) -> str:
    return await asyncio.wait_for(_kind_at(address), TIMEOUT_S)


async def _kind_at(address: str) -> str:
    keys = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
    async with rpc(address, connection_args=keys) as remote:  # type: ignore[no-untyped-call]
        return str((await remote.identity())["type"])


@contextmanager
def _on_workers(client: Client, plugin: "OnWorkers") -> Iterator[None]:
    """Install a plugin on all workers during the block, also on workers that come later.

    Errors of the connection are ignored. If a worker is stopped or dies, installing fails, but all
    other workers get the plugin. If the scheduler is gone, waiting for the tasks raises the error.
    """
    with suppress(OSError):
        client.sync(client.register_plugin, plugin, callback_timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if client.status == "running":  # not if the scheduler is gone
            with suppress(OSError):
                forget = client.scheduler.unregister_worker_plugin  # type: ignore[union-attr]
                client.sync(forget, name=plugin.name, callback_timeout=TIMEOUT_S)  # type: ignore[no-untyped-call]


def _close(client: Client) -> None:
    """Close a client. A lost scheduler makes Dask close it, too, at the same time perhaps.

    Dask then raises a ``RuntimeError``: it gives up twice each connection that it is making.
    """
    with suppress(RuntimeError):
        client.close(TIMEOUT_S)  # type: ignore[no-untyped-call]


def _run(watch: Watch, n_least: int, tasks: Iterable[Task[T]]) -> Iterator[Done[T] | Failure]:
    """Run tasks by Dask's workers; yield the outcome of each task when it arrives.

    Dask counts a worker's death against each task that was at the worker, also against tasks that
    only waited there. So a task whose workers died is run again when all others have ended, with no
    other task at the workers. Dask holds at most as many tasks at a time as there are usable
    workers, or ``n_least`` if there are fewer workers: SLURM's jobs are submitted only while tasks
    wait.
    """
    suspects = []
    for outcome in _run_together(watch, n_least, tasks):
        if isinstance(outcome, Failure) and isinstance(outcome.error, KilledWorker):
            suspects.append(outcome.task)
            print(
                f"note: workers died that had {outcome.task.name}: it is run again alone, after "
                "the others",
                file=sys.stderr,
            )
        else:
            yield outcome
    for task in suspects:
        for outcome in _run_together(watch, n_least, [task]):
            yield _blamed(outcome)


def _blamed(outcome: Done[T] | Failure) -> Done[T] | Failure:
    """Outcome of a task that ran alone: if its workers died again, a ``DataError`` says so."""
    if isinstance(outcome, Done) or not isinstance(outcome.error, KilledWorker):
        return outcome
    reason = (
        f"workers must live through {outcome.task.name}, got all that tried it dead, for want of "
        "memory perhaps"
    )
    return Failure(outcome.task, DataError(reason))


def _run_together(
    watch: Watch, n_least: int, tasks: Iterable[Task[T]]
) -> Iterator[Done[T] | Failure]:
    """Run tasks by Dask's workers; a task whose workers died is a ``Failure``.

    The parameters are those of ``_run``.
    """
    todo, running = iter(tasks), dict[Future[T], Task[T]]()
    while True:
        n_free = max(watch.n_usable(), n_least) - len(running)
        for task in islice(todo, max(0, n_free)):
            tries = {"retries": N_TRIES - 1, "resources": {watch.mark: 1}}
            # Dask's pages show the key, and group keys by their first word.
            key = f"{task.function.__name__}-{task.name}-{uuid4().hex}"
            running[watch.client.submit(task.run, key=key, **tries)] = task
        if not running:
            return
        for future in _ended(running):
            outcome = _outcome(running[future], future)
            if outcome is not None:
                del running[future]
                yield outcome


def _ended(running: Collection[Future[T]]) -> Collection[Future[T]]:
    """Wait until a task has ended; return all ended tasks, or none after ``LOOK_S`` seconds."""
    try:
        return wait(list(running), timeout=LOOK_S, return_when="FIRST_COMPLETED").done  # type: ignore[no-untyped-call,no-any-return]
    except TimeoutError:
        return ()
    except CancelledError as error:
        raise ConnectionError("the scheduler of the workers must stay up, got no answer") from error


def _outcome(task: Task[T], future: Future[T]) -> Done[T] | Failure | None:
    """Outcome of a task that has ended; None if its result was lost with its worker.

    Dask then runs the task again.
    """
    if future.status == "error":
        error = future.exception()  # type: ignore[no-untyped-call]
        return Failure(task, error.with_traceback(future.traceback()))  # type: ignore[no-untyped-call]
    try:
        return Done(task, future.result(timeout=LOOK_S))
    except TimeoutError:
        return None


@dataclass
class OnWorkers(WorkerPlugin):
    """Lets a Dask worker take tasks once it sees the driver's files, and stop at once on a signal.

    The driver is the process that sends the tasks. Without this plugin, a task would run on until
    its process is killed. SLURM sends SIGTERM to jobs that are cancelled, requeued or preempted,
    and SIGUSR1, if asked to, to jobs whose time is nearly over. The unfinished task is run again.
    """

    mark: str
    """Relative path of a folder that the driver made; its name names the resource of workers."""
    gpus: Sequence[str]
    """GPUs of this machine, one for each worker process; empty if jobs have their own GPUs."""

    @property
    def name(self) -> str:
        """Name of the plugin, of its resource and of its metric: the name of the driver's folder.

        It differs between drivers, so that drivers can share one Dask scheduler.
        """
        return Path(self.mark).name

    async def setup(self, worker: Worker) -> None:
        """Give a worker its GPU, handle signals, and offer the worker for tasks.

        Dask calls it in the main thread of the worker's process.
        """
        prepare_process()
        if self.gpus:
            os.environ[VISIBLE] = self.gpus[int(worker.name) % len(self.gpus)]
        loop = asyncio.get_running_loop()
        leaving: list[asyncio.Task[None]] = []
        for number in (signal.SIGTERM, signal.SIGUSR1):
            loop.add_signal_handler(
                number, lambda: leaving.append(loop.create_task(_leave(worker)))
            )
        # Ignored because Ctrl-C reaches all processes of a terminal: the driver ends its workers.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Called for each heartbeat: a worker whose disk hangs sends no heartbeat.
        worker.metrics[self.name] = self.offer
        await self.offer(worker)

    async def offer(self, worker: Worker) -> str:
        """Give a worker the resource that tasks need, if it sees the driver's folder.

        Returns the worker's working folder.
        """
        folder = Path(self.mark).parent
        # The parent folder is listed: for a name that was missing, NFS repeats the answer for a
        # minute.
        is_seen = folder.is_dir() and self.name in os.listdir(folder)  # noqa: PTH208 - names
        if is_seen and self.name not in worker.state.total_resources:
            await worker.set_resources(**{self.name: worker.state.nthreads})
            # The scheduler assigns waiting tasks when a worker starts, not when it gets a resource.
            worker.status = Status.paused
            worker.status = Status.running
        return str(Path.cwd())

    def teardown(self, worker: Worker) -> None:
        """Remove the metric; Dask calls it when the driver ends, and when a worker ends.

        The process of a worker that ends exits here: otherwise it would wait for its task.
        """
        worker.metrics.pop(self.name, None)
        if worker.status is Status.closing:
            os._exit(0)


async def _leave(worker: Worker) -> None:
    """Retire a worker, so that its task is not counted as failed, and exit its process."""
    leave = worker.scheduler.retire_workers(
        workers=[worker.address], close_workers=False, remove=True, stimulus_id="leave"
    )
    try:
        await asyncio.wait_for(leave, TIMEOUT_S)
    finally:
        os._exit(0)
