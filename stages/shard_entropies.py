"""All that follows from the masks of a split: a task for each shard, then its parts as one."""

import numpy as np
from jaxtyping import Bool

from pipeline.entropy.comparisons import truth_at_size
from pipeline.entropy.objects import ObjectArrays, concatenate, object_arrays
from stages.executor.executors import Task, executor_of, results_of
from stages.executor.opened_cells import CellsToOpen, opened
from stages.program.progress import progress
from stages.settings.blocks import ExecutorParams
from storage.files.addresses import is_address
from storage.split.mask_blocks import block_objects, mask_size, object_runs, run_reader


def split_arrays(cells: CellsToOpen, executor: ExecutorParams) -> ObjectArrays:
    """Entropies and the like of all objects; each task reads and reduces one shard of masks."""
    found = opened(cells)
    tasks = [
        Task(f"entropies of objects {some.start} to {some.stop - 1}", run_arrays, (cells, some))
        for some in object_runs(found)
    ]
    # Threads do in one process: decompression and the kernels release the GIL. Elsewhere than on
    # the disk, one waits for masks while another computes.
    n_at_once = executor.n_threads * (2 if is_address(cells.cache) else 1)
    with (
        progress("entropy", found.table.n_objects) as advance,
        executor_of(executor, n_threads=n_at_once) as run,
    ):
        parts = results_of(run, tasks, lambda task, _: advance(len(task.arguments[1])))
    return concatenate(parts)


def run_arrays(cells: CellsToOpen, run: range) -> ObjectArrays:
    """Entropies and the like of a run of objects."""
    found = opened(cells)
    height, width = mask_size(found)

    def read_truth(some: slice) -> Bool[np.ndarray, "object y x"]:
        truths = (found.table.truth(row) for row in run[some])
        return np.stack([truth_at_size(truth, height, width) for truth in truths])

    return object_arrays(
        run_reader(found, run),
        read_truth,
        models=found.models,
        views=found.views,
        block_objects=block_objects(found),
    )
