"""Stage ``shapes``: a seed in, the embedded data set out, in COCO's layout.

Reads   ``params.yaml:shapes``.
Writes  ``data/shapes/train``, ``data/shapes/val``, ``data/shapes/further``,
        ``data/shapes/annotations``.
"""

from pathlib import Path

from pipeline.scenes.placement import CATEGORIES
from pipeline.scenes.scene import Role, draw_scene, scene_seeds
from stages.program.main import check_unchanged, stage_main
from stages.program.progress import counting, progress
from stages.settings.blocks import ShapesParams
from stages.settings.params import read_params
from storage.coco_writer import write_coco
from storage.folders import whole_folder
from storage.paths import SHAPES


@stage_main
def main() -> None:
    """Draw the images and masks of the splits, and write them with their annotations."""
    params = read_params().shapes
    with whole_folder(SHAPES) as folder:
        _draw_split(folder, params, "train", params.n_train_images)
        _draw_split(folder, params, "val", params.n_val_images)
        if params.n_further_images:
            _draw_split(folder, params, "further", params.n_further_images)
        check_unchanged()


def _draw_split(folder: Path, params: ShapesParams, role: Role, n_images: int) -> None:
    with progress(f"shapes {role}", n_images, "images") as advance:
        seeds = counting(scene_seeds(params.seed, role, n_images), advance)
        scenes = (draw_scene(seed, params.image_size_px) for seed in seeds)
        write_coco(folder / role, folder / "annotations" / f"{role}.json", scenes, CATEGORIES)


if __name__ == "__main__":
    main()
