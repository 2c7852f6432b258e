"""Stage ``extract``: one SAM2 model over every object and prompt set of a split, in one view.

Reads   ``params.yaml:extract``, ``cache/objects/<split>.zarr``, the images, the weights.
Writes  ``cache/features/<split>/<model>/<view>.zarr``, ``cache/masks/<split>/<model>/<view>.zarr``.
"""

from stages.extraction.cell import run_cell
from stages.shell.asked import eval_cells
from stages.shell.edge import stage_main
from stages.shell.params import check_known, read_lists


@stage_main
def main(split: str, model: str, view: str) -> None:
    """Extract one cell."""
    lists = read_lists()
    check_known("eval split", split, lists.eval_splits)
    check_known("model", model, lists.models)
    (name,) = eval_cells(split, [model], [lists.view(view)])
    run_cell(name)


if __name__ == "__main__":
    main()
