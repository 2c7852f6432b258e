"""Chooses the executor that settings name."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from stages.executor.tasks import Run, run_here
from stages.settings.blocks import ExecutorParams


@contextmanager
def executor_of(
    params: ExecutorParams, name: str = "worker", *, n_threads: int = 1, uses_gpu: bool = False
) -> Iterator[Run]:
    """Yield the executor that the settings name; workers that it starts end with the block.

    Parameters
    ----------
    name
        What the workers do, for the names of SLURM's jobs.
    n_threads
        Number of parallel tasks for the kind ``inline``; 1 runs tasks in the calling thread. Other
        kinds run one task per worker.
    uses_gpu
        Whether tasks use a GPU. Each worker of the kind ``local`` then uses one GPU; with ``auto``,
        there is one worker per GPU. Jobs of SLURM ask for the GPUs of the settings.
    """
    if params.kind == "inline":
        yield partial(run_here, n_threads=n_threads)
        return
    # Imported here: it takes a second, and the default does not need it.
    from stages.executor.workers import dask_executor  # noqa: PLC0415

    with dask_executor(params, name, uses_gpu=uses_gpu) as run:
        yield run
