"""Opens the workers that the settings name."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final

from dask import config
from distributed import Client

from stages.executor.local import local_cluster
from stages.executor.worker import LeaveInTime
from stages.shell.blocks import ExecutorParams

CONFIG: Final[Mapping[str, Any]] = MappingProxyType(
    {
        # A task that takes its worker with it three times has failed.
        "distributed.scheduler.allowed-failures": 2,
        # A worker is sent no task before it is free: those it has when it dies count as failed.
        "distributed.scheduler.worker-saturation": 1.0,
        # A nanny that is starting a process anew is no lost worker, however long that takes: Dask
        # would close it if its worker is away again when this time has passed.
        "distributed.deploy.lost-worker-timeout": "100 days",
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
    """How many there are now."""


@contextmanager
def workers_of(params: ExecutorParams, *, uses_gpu: bool) -> Iterator[Workers]:
    """Workers as the settings ask for them, which end with the block.

    Raises
    ------
    ConnectionError
        If they cannot be reached.
    """
    with (
        config.set(CONFIG),
        TemporaryDirectory(prefix="usam-workers-") as folder,
        local_cluster(params.n_workers, folder, uses_gpu=uses_gpu) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        client.register_plugin(LeaveInTime())
        yield Workers(
            client.get_executor(pure=False, retries=0),
            lambda: len(client.scheduler_info()["workers"]),
        )
