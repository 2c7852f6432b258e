"""All that follows from the masks of a split: a task for each shard, then its parts as one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import numpy as np
from jaxtyping import Bool

from pipeline.entropy.objects import ObjectArrays, concatenate, object_arrays
from pipeline.entropy.truth import truth_at_size
from stages.executor.run import run_tasks
from stages.executor.tasks import Task, check_all_done
from stages.shell.blocks import ExecutorParams
from stages.shell.progress import progress
from storage.files.addresses import is_address
from storage.split.cells import SplitCells, open_cells
from storage.split.mask_blocks import block_objects, mask_size, object_runs, run_reader


@dataclass(frozen=True)
class CellsToOpen:
    """The cells of an eval split, in words that travel to any worker."""

    split: str
    asked: str
    """What is asked of each cell, as JSON."""
    cache: str
    """Folder or address."""
    run: str
    """Differs between runs of a stage, which may find other cells at the same place."""


def cells_to_open(
    split: str, asked: Mapping[tuple[str, str], Mapping[str, object]], cache: str | Path
) -> CellsToOpen:
    """Cells as they lie now in a cache, under the settings that are asked of each."""
    listed = [[*names, dict(settings)] for names, settings in asked.items()]
    return CellsToOpen(split, json.dumps(listed), str(cache), uuid4().hex)


@lru_cache(maxsize=1)  # once per process, not once per task
def opened(cells: CellsToOpen) -> SplitCells:
    """The cells, with their masks."""
    asked = {(model, view): settings for model, view, settings in json.loads(cells.asked)}
    cache = cells.cache if is_address(cells.cache) else Path(cells.cache)
    return open_cells(cells.split, asked, with_masks=True, cache=cache)


def split_arrays(cells: CellsToOpen, executor: ExecutorParams, n_threads: int) -> ObjectArrays:
    """Entropies and the like of all objects; each task reads and reduces one shard of masks."""
    found = opened(cells)
    tasks = [
        Task(f"entropies of objects {run.start} to {run.stop - 1}", run_arrays, (cells, run))
        for run in object_runs(found)
    ]
    parts: dict[str, ObjectArrays] = {}
    with progress("entropy", found.table.n_objects) as advance:

        def keep(task: Task[ObjectArrays], part: ObjectArrays) -> None:
            parts[task.name] = part
            advance(len(next(iter(part.values()))))

        # Threads do in one process: decompression and the kernels release the GIL. Elsewhere than
        # on the disk, one waits for masks while another computes.
        n_at_once = 2 * n_threads if is_address(cells.cache) else n_threads
        check_all_done(run_tasks(tasks, executor, keep, n_threads=n_at_once))
    return concatenate([parts[task.name] for task in tasks])


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
