"""Tasks of the stage ``entropy``: each reads a shard of masks and computes entropies from it."""

import numpy as np
from jaxtyping import Bool

from pipeline.entropy.comparisons import truth_at_size
from pipeline.entropy.mixtures import ObjectArrays
from pipeline.entropy.objects import concatenate, object_arrays
from stages.executor.executors import executor_of
from stages.executor.opened_cells import CellsToOpen, opened
from stages.executor.tasks import Task, results_of
from stages.program.progress import progress
from stages.settings.blocks import ExecutorParams
from storage.files.addresses import is_address
from storage.split.mask_blocks import block_objects, mask_size, object_runs, run_reader


def split_arrays(to_open: CellsToOpen, executor: ExecutorParams) -> ObjectArrays:
    """Compute the arrays of the entropy store for all objects of a split, by array name.

    Shards of masks are tasks of the executor; their rows are joined in the order of the split.
    ``to_open`` are the cells in the views that entropies need, with masks.
    """
    cells = opened(to_open)
    tasks = [
        Task(f"entropies of objects {run.start} to {run.stop - 1}", run_arrays, (to_open, run))
        for run in object_runs(cells)
    ]
    # Threads suffice in one process: decompression and the kernels release the GIL. With a cache at
    # an address, twice as many threads let one shard wait for masks while another is computed.
    n_at_once = executor.n_threads * (2 if is_address(to_open.cache) else 1)
    with (
        progress("entropy", cells.table.n_objects) as advance,
        executor_of(executor, f"entropy {to_open.split}", n_threads=n_at_once) as execute,
    ):
        shards = results_of(execute, tasks, lambda task, _: advance(len(task.arguments[1])))
    return concatenate(shards)


def run_arrays(to_open: CellsToOpen, run: range) -> ObjectArrays:
    """Compute the arrays of the entropy store, by name, for the objects in the rows ``run``.

    The rows are those of one shard of masks.
    """
    cells = opened(to_open)
    height, width = mask_size(cells)

    def read_truth(block: slice) -> Bool[np.ndarray, "object y x"]:
        truths = (cells.table.truth(row) for row in run[block])
        return np.stack([truth_at_size(truth, height, width) for truth in truths])

    return object_arrays(
        run_reader(cells, run),
        read_truth,
        models=cells.models,
        views=cells.views,
        block_objects=block_objects(cells),
    )
