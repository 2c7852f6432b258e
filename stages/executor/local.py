"""Workers as processes of this machine."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final, Literal

from dask import config
from distributed import LocalCluster

HOST: Final = "127.0.0.1"
"""``local`` is reachable from this machine only."""

SILENT: Final = logging.CRITICAL + 1
"""Dask stays silent: the driver reports failures, once."""

NO_DASHBOARD: Final = MappingProxyType({"dashboard": False, "dashboard_address": f"{HOST}:0"})
"""Without a dashboard, a scheduler still answers a few questions of browsers: on any free port."""

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Variables by which libraries know how many threads to compute with; read as they are imported."""

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
"""Variable by which CUDA knows which GPUs a process may use; read as it is first used."""


@contextmanager
def local_cluster(n_workers: int | Literal["auto"], gpus: Sequence[str]) -> Iterator[LocalCluster]:
    """Processes that take one task at a time, each with its share of the processors.

    Parameters
    ----------
    n_workers
        ``auto`` is a process per GPU if tasks use some, otherwise one per processor.
    gpus
        Those that tasks use.
    """
    n_processors = len(os.sched_getaffinity(0))
    n = (len(gpus) or n_processors) if n_workers == "auto" else n_workers
    settings = {
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, max(1, n_processors // n)),
        # A nanny that is restarting a process is not lost, however long that takes: Dask
        # would close it if its worker is away again when this time has passed.
        "distributed.deploy.lost-worker-timeout": "100 days",
    }
    with (
        config.set(settings),
        TemporaryDirectory(prefix="usam-workers-") as folder,
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=n,
            threads_per_worker=1,
            memory_limit=None,
            host=HOST,
            scheduler_kwargs=dict(NO_DASHBOARD),
            local_directory=folder,
            silence_logs=SILENT,
        ) as cluster,
    ):
        yield cluster


def gpus_here() -> list[str]:
    """GPUs that this process may use, as CUDA names them."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    import torch  # noqa: PLC0415 - takes seconds

    return [str(i) for i in range(torch.cuda.device_count())]
