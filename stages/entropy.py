"""Stage ``entropy``: masks in, entropies, agreements and comparisons with the ground truth out.

Reads   ``cache/objects/<split>.zarr``, ``cache/features/<split>``, ``cache/masks/<split>``;
        ``params.yaml:extract``, which the cells must match.
Writes  ``cache/entropy/<split>.zarr``.
"""

import numpy as np

from pipeline.views import entropy_views
from stages.entropy_tasks import split_arrays
from stages.executor.opened_cells import CellsToOpen, opened
from stages.program.main import check_unchanged, stage_main
from stages.settings.params import cache_location, read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import eval_settings
from stages.settings.versions import version_entry
from storage.paths import entropy_path
from storage.store.writing import write_store


@stage_main
def main(split: str) -> None:
    """Write the entropies, agreements and pixel scores of the masks of an eval split."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    views = [params.view(name) for name in entropy_views(params.views)]
    expected = eval_settings(params.extract, split, params.models, views, params.extra_prompts)
    to_open = CellsToOpen(split, expected, cache_location(), with_masks=True)
    statistics = split_arrays(to_open, params.executor)
    arrays = {name: values.astype(np.float32) for name, values in statistics.items()}
    cells = opened(to_open)
    check_unchanged()
    write_store(
        entropy_path(split),
        "entropy",
        {**arrays, "object_id": cells.table.object_id, "model": list(cells.models)},
        signature=cells.signature | version_entry("entropy"),
    )


if __name__ == "__main__":
    main()
