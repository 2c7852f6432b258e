"""Stage ``extract``: runs a SAM2 model on every object and prompt set of a split, in one view.

Reads   ``params.yaml:extract``, ``cache/objects/<split>.zarr``, the images, the weights.
Writes  ``cache/features/<split>/<model>/<view>.zarr``, ``cache/masks/<split>/<model>/<view>.zarr``.
"""

from stages.filling.fill_cells import run_cell
from stages.program.main import stage_main
from stages.settings.params import read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import eval_cells


@stage_main
def main(split: str, model: str, view: str) -> None:
    """Run a model on a view of an eval split, and write the stores of features and of masks."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    check_known("model", model, params.models)
    (name,) = eval_cells(split, [model], [params.view(view)], params.extra_prompts)
    run_cell(name, params.splits[split].images, params.extract, params.executor)


if __name__ == "__main__":
    main()
