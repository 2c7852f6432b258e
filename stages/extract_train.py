"""Stage ``extract_train``: runs a SAM2 model on a train split in one view, for heads to learn from.

Reads   ``params.yaml:extract``, ``cache/objects/<split>.zarr``, the images, the weights.
Writes  ``cache/features/<split>/<model>/<view>.zarr``; prompt sets ``center`` and ``refined``,
        and those of ``params.yaml:train_prompts``.
"""

from stages.filling.fill_cells import run_cell
from stages.program.main import stage_main
from stages.settings.params import read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import train_cells


@stage_main
def main(split: str, model: str, view: str) -> None:
    """Run a model on a view of a train split, and write the store of features."""
    params = read_params()
    check_known("train split", split, params.train_splits)
    check_known("model", model, params.models)
    check_known("train view", view, params.train_views)
    (name,) = train_cells(split, [model], params.train_prompts, [view])
    run_cell(name, params.splits[split].images, params.extract, params.executor)


if __name__ == "__main__":
    main()
