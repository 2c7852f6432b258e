"""Starts Dask workers as processes of this machine."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from dask import config
from distributed import LocalCluster

HOST: Final = "127.0.0.1"
"""Address of the scheduler of the kind ``local``: only this machine can reach it."""

SILENT: Final = logging.CRITICAL + 1
"""Log level above all messages of Dask: the driver itself reports failures, once."""

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Environment variables for the number of threads of libraries, which read them when imported."""

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
"""Environment variable with the GPUs that a process may use; CUDA reads it at its first use."""


def web_options(*, dashboard: bool) -> dict[str, Any]:
    """Options of a scheduler for its web pages, of which there are a few without a dashboard, too.

    They are at any free port, for programs of this machine alone: Dask asks for no password.
    """
    for module in ("bokeh", "prometheus_client") if dashboard else ():
        import_module(module)  # else Dask's pages say that it is missing
    return {"dashboard": dashboard, "dashboard_address": f"{HOST}:0"}


@contextmanager
def local_cluster(
    n_workers: int | Literal["auto"], gpus: Sequence[str], web: Mapping[str, Any]
) -> Iterator[LocalCluster]:
    """Start a Dask cluster of worker processes on this machine, which end with the block.

    A worker runs one task at a time; libraries in it use its share of the processors as threads.
    ``n_workers`` is the number of processes; ``auto`` means one per GPU in ``gpus``, the GPUs that
    tasks use, or without GPUs one per processor. ``web`` has the ``web_options``.
    """
    n_processors = len(os.sched_getaffinity(0))
    n = (len(gpus) or n_processors) if n_workers == "auto" else n_workers
    settings = {
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREADS, max(1, n_processors // n)),
        # A nanny (Dask's process that restarts a worker) must stay, however long a restart takes:
        # Dask would close it if its worker is away again when this time has passed.
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
            scheduler_kwargs=dict(web),
            local_directory=folder,
            silence_logs=SILENT,
        ) as cluster,
    ):
        yield cluster


def gpus_here() -> list[str]:
    """Names of the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    import torch  # noqa: PLC0415 - takes seconds

    return [str(i) for i in range(torch.cuda.device_count())]
