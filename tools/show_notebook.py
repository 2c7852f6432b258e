"""Runs the notebooks of the docs: ``make results``.

Reads   the cells of ``docs/*.ipynb``, the weights and heads that ship, the demo's ``cache``,
        ``params.yaml:shapes``.
Writes  ``docs/*.ipynb``, with the outputs of their cells.
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

DOCS: Final = ROOT / "docs"


def main() -> None:
    """Write the notebooks with new outputs."""
    for path in sorted(DOCS.glob("*.ipynb")):
        text = nbformat.writes(run(stored(path.stem)))  # type: ignore[no-untyped-call]
        path.write_text(f"{text}\n", encoding="utf-8")


def stored(name: str) -> NotebookNode:
    """The notebook of a name as it is stored."""
    path = DOCS / f"{name}.ipynb"
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def run(before: NotebookNode) -> NotebookNode:
    """The notebook with its outputs, but without times and names of the machine.

    It runs beside the scenes that `make demo` draws to judge masks, and beside the demo's cache.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _draw_scenes(folder / SHAPES)
        (folder / "cache").symlink_to(ROOT / "cache")
        (folder / DOCS.name).mkdir()
        resources = {"metadata": {"path": str(folder / DOCS.name)}}
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
