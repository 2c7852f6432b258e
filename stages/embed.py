"""Stage ``embed``: encodes the images of a split, so that new prompts need the decoder alone.

Reads   ``params.yaml:embeddings`` and ``extract``, ``cache/objects/<split>.zarr``, the images, the
        weights.
Writes  ``cache/embeddings/<split>/<model>.zarr``.
"""

from stages.filling.fill_cells import run_cell
from stages.program.main import stage_main
from stages.settings.params import read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import embedding_cells


@stage_main
def main(split: str, model: str) -> None:
    """Run a model's image encoder on the images of a split, and write the store of embeddings."""
    params = read_params()
    check_known("split of embeddings", split, params.embeddings.splits)
    check_known("model of embeddings", model, params.embeddings.models)
    (name,) = embedding_cells(split, [model])
    run_cell(name, params.splits[split].images, params.extract, params.executor)


if __name__ == "__main__":
    main()
