"""Stage ``extract_train``: what the heads learn from, one SAM2 model over a train split.

Reads   ``params.yaml:extract``, ``cache/objects/<split>.zarr``, the images, the weights.
Writes  ``cache/features/<split>/<model>/identity.zarr``; prompt sets ``center`` and ``refined``.
"""

from stages.extraction.cell import run_cell
from stages.shell.asked import train_cells
from stages.shell.edge import stage_main
from stages.shell.params import check_known, read_lists


@stage_main
def main(split: str, model: str) -> None:
    """Extract one model's features of a train split."""
    lists = read_lists()
    check_known("train split", split, lists.train_splits)
    check_known("model", model, lists.models)
    (name,) = train_cells(split, [model])
    run_cell(name)


if __name__ == "__main__":
    main()
