"""Workers as processes of this machine, and what all clusters that stages start have in common."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final, Literal

from dask import config
from distributed import Nanny, Scheduler, SpecCluster

HOST: Final = "127.0.0.1"
"""Other machines reach nothing of ``local``."""

SILENT: Final = logging.CRITICAL + 1
"""Dask says nothing: what failed is told by the driver, once."""

NO_DASHBOARD: Final = MappingProxyType({"dashboard": False, "dashboard_address": f"{HOST}:0"})
"""Without a dashboard, a scheduler still answers a few questions of browsers: on any free port."""

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Variables by which libraries know how many threads to compute with."""

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
"""Variable by which CUDA knows which GPUs a process may use."""


@contextmanager
def local_cluster(
    n_workers: int | Literal["auto"], folder: str, *, uses_gpu: bool
) -> Iterator[SpecCluster]:
    """Processes that take a task at a time, each with its share of the processors.

    Not Dask's ``LocalCluster``, which gives all workers the same environment: each has its own GPU.

    Parameters
    ----------
    n_workers
        ``auto`` is a process per GPU if tasks use them and there are any, otherwise one per
        processor.
    folder
        For the files of the workers.
    """
    n_processors = len(os.sched_getaffinity(0))
    gpus = _gpus() if uses_gpu else []
    n = (len(gpus) or n_processors) if n_workers == "auto" else n_workers
    options = {
        "host": HOST,
        "nthreads": 1,
        "memory_limit": None,
        "local_directory": folder,
        "dashboard": False,
        "silence_logs": SILENT,
    }
    workers: dict[int, dict[str, Any]] = {
        i: {
            "cls": Nanny,
            "options": options | {"env": {VISIBLE: gpus[i % len(gpus)]} if gpus else {}},
        }
        for i in range(n)
    }
    scheduler = {"cls": Scheduler, "options": {"host": HOST, "port": 0, **NO_DASHBOARD}}
    with (
        _threads_of_workers(max(1, n_processors // n)),
        SpecCluster(workers=workers, scheduler=scheduler) as cluster,  # type: ignore[no-untyped-call]
    ):
        yield cluster


@contextmanager
def _threads_of_workers(n: int) -> Iterator[None]:
    """Let worker processes compute with so many threads, unless the environment says how many.

    Libraries read it as they are imported, so that it must be set before a process begins. Dask
    sets it, and a few more, in this process, and never takes it back.
    """
    before = dict(os.environ)
    try:
        with config.set({"distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, n)}):
            yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]


def _gpus() -> list[str]:
    """GPUs that this process may use, as CUDA names them."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    import torch  # noqa: PLC0415 - takes seconds

    return [str(i) for i in range(torch.cuda.device_count())]
