"""Stage ``entropy``: masks in, entropies, agreements and distances to the ground truth out.

Reads   ``params.yaml:entropy``, ``cache/objects/<split>.zarr``, ``cache/features/<split>``,
        ``cache/masks/<split>``; ``params.yaml:extract``, to hold the cells to it.
Writes  ``cache/entropy/<split>.zarr``.
"""

import numpy as np
from dask.base import compute
from dask.callbacks import Callback
from dask.delayed import delayed
from jaxtyping import Bool

from pipeline.entropy.objects import ObjectArrays, concatenate, object_arrays
from pipeline.entropy.truth import truth_at_size
from pipeline.views import entropy_views
from stages.shell.asked import asked_of_eval
from stages.shell.edge import stage_main
from stages.shell.params import read_params
from stages.shell.place import cache_place
from stages.shell.progress import progress
from stages.shell.rules import check_known
from stages.shell.unchanged import check_unchanged
from storage.paths import entropy_path
from storage.split.cells import SplitCells, open_cells
from storage.split.mask_blocks import block_objects, mask_size, object_runs, run_reader
from storage.store.writing import write_store


@stage_main
def main(split: str) -> None:
    """Compute all that follows from the masks of every object of an eval split."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    views = [params.view(name) for name in entropy_views(params.views)]
    asked = asked_of_eval(params.extract, params.models, views)
    cells = open_cells(split, asked, with_masks=True, cache=cache_place())
    found = split_arrays(cells, params.entropy.n_workers)
    arrays = {name: values.astype(np.float32) for name, values in found.items()}
    check_unchanged()
    write_store(
        entropy_path(split),
        "entropy",
        {**arrays, "object_id": cells.table.object_id, "model": list(cells.models)},
        signature=cells.signature,
    )


def split_arrays(cells: SplitCells, n_workers: int) -> ObjectArrays:
    """Entropies and the like of all objects; each task reads and reduces one shard of masks."""
    height, width = mask_size(cells)

    def run_arrays(run: range) -> ObjectArrays:
        def read_truth(some: slice) -> Bool[np.ndarray, "object y x"]:
            truths = (cells.table.truth(row) for row in run[some])
            return np.stack([truth_at_size(truth, height, width) for truth in truths])

        return object_arrays(
            run_reader(cells, run),
            read_truth,
            models=cells.models,
            views=cells.views,
            block_objects=block_objects(cells),
        )

    tasks = [delayed(run_arrays, pure=False)(run) for run in object_runs(cells)]
    with (
        progress("entropy", cells.table.n_objects) as advance,
        Callback(posttask=lambda _key, part, *_: advance(len(next(iter(part.values()))))),  # type: ignore[no-untyped-call]
    ):
        # Threads: decompression and the kernels release the GIL.
        parts = compute(*tasks, scheduler="threads", num_workers=n_workers)  # type: ignore[no-untyped-call]
    return concatenate(parts)


if __name__ == "__main__":
    main()
