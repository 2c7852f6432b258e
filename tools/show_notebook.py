"""Runs the notebook ``docs/predict.ipynb``: ``make results``.

Reads   the cells of ``docs/predict.ipynb``, the weights and heads that ship,
        ``params.yaml:shapes``.
Writes  ``docs/predict.ipynb``, with the outputs of its cells.
"""

import tempfile
from pathlib import Path
from typing import Final

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from pipeline.scenes.placement import CATEGORIES
from pipeline.scenes.scene import draw_scene, scene_seeds
from stages.settings.params import read_params
from storage.coco_writer import write_coco
from storage.paths import SHAPES

ROOT: Final = Path(__file__).parents[1]

NOTEBOOK: Final = ROOT / "docs" / "predict.ipynb"


def main() -> None:
    """Write the notebook with new outputs."""
    text = nbformat.writes(run(stored()))  # type: ignore[no-untyped-call]
    NOTEBOOK.write_text(f"{text}\n", encoding="utf-8")


def stored() -> NotebookNode:
    """The notebook as it is stored."""
    notebook: NotebookNode = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def run(before: NotebookNode) -> NotebookNode:
    """The notebook with its outputs, but without times and names of the machine.

    It runs in a folder that has nothing but the scenes that `make demo` draws to judge masks.
    """
    with tempfile.TemporaryDirectory() as folder:
        _draw_scenes(Path(folder) / SHAPES)
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(before, timeout=600, record_timing=False, resources=resources)
        done = client.execute()
    done.metadata = {"kernelspec": done.metadata["kernelspec"]}
    return done


def _draw_scenes(folder: Path) -> None:
    shapes = read_params(ROOT / "params.yaml").shapes
    seeds = scene_seeds(shapes.seed, "val", shapes.n_val_images)
    scenes = (draw_scene(seed, shapes.image_size_px) for seed in seeds)
    write_coco(folder / "val", folder / "annotations" / "val.json", scenes, CATEGORIES)


if __name__ == "__main__":
    main()
