"""Stage ``gallery``: the most and the least uncertain objects of each kind as pictures.

Reads   ``params.yaml:gallery``, ``params.yaml:splits``, ``results/splits/<split>/objects.csv``,
        ``cache/objects/<split>.zarr``, ``cache/features/<split>`` and ``cache/masks/<split>``
        (identity), the images.
Writes  ``results/gallery/<split>/``: ``gallery.csv`` and a JPEG a row.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray
from jaxtyping import UInt8

from pipeline.gallery.choice import gallery_rows
from pipeline.gallery.pictures import Scene, draw_scene, foreground
from pipeline.vocabulary import PROMPTS
from stages.shell.edge import stage_main
from stages.shell.params import read_params
from stages.shell.progress import progress
from stages.shell.rules import check_known
from storage import open_features, open_masks
from storage.errors import DataError
from storage.images.of_split import SplitImages
from storage.outputs.gallery import Gallery, encode_jpeg, write_gallery
from storage.outputs.results import COLUMNS, read_table
from storage.paths import features_path, gallery_dir, masks_path, objects_path, results_dir
from storage.rle import decode_rle
from storage.split.objects import ObjectTable, objects_digest, read_objects
from storage.store.inspection import naming_damage

CENTER: Final = PROMPTS.index("center")


@dataclass(frozen=True)
class _Cell:
    """What one model says in the identity view."""

    features: xarray.Dataset
    masks: xarray.Dataset
    path: Path

    def mask_code(self, row: int, task: str) -> UInt8[np.ndarray, "y x"]:
        """Coded mask that a task corrects: the selected proposal of task, the best of others."""
        by = "sam_score" if task == "task" else "iou"
        with naming_damage(self.path):
            proposal = int(self.features[by][row, CENTER].to_numpy().argmax())
            code = self.masks["mask_code"][row, CENTER, proposal]
            return np.asarray(code, np.uint8)


@stage_main
def main(split: str) -> None:
    """Draw the gallery of one eval split."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    table = read_objects(objects_path(split))
    shown = gallery_rows(_read_results(split, table), params.gallery.n_objects)
    files = [str(file) for file in table.file]
    shown["file"] = [files[image] for image in table.image_index[shown["row"]]]
    shown["picture"] = shown["task"] + "-" + shown["rank"].astype(str) + ".jpg"
    images = SplitImages(Path(params.split(split).images), files)
    cells = {model: _open_cell(split, model, table) for model in shown["model"].unique()}
    pictures = {}
    with progress(f"gallery {split}", len(shown), "pictures") as advance:
        # In the images' order: frames of a video are decoded forwards.
        for row in shown.sort_values("row").to_dict("records"):
            scene = _scene(table, images, row, cells[row["model"]])
            pictures[row["picture"]] = encode_jpeg(draw_scene(scene, params.gallery.side_px))
            advance(1)
    write_gallery(gallery_dir(split), Gallery(shown, pictures))


def _read_results(split: str, table: ObjectTable) -> pd.DataFrame:
    path = results_dir(split) / "objects.csv"
    objects = read_table(path, COLUMNS["objects"])
    for model, rows in objects.groupby("model"):
        if not np.array_equal(rows["object_id"], table.object_id):
            raise DataError(f"{path} must hold the objects of {objects_path(split)} for {model}")
    return objects


def _open_cell(split: str, model: str, table: ObjectTable) -> _Cell:
    expected = {"objects_digest": objects_digest(table)}
    features = open_features(features_path(split, model, "identity"), expected=expected)
    path = masks_path(split, model, "identity")
    return _Cell(features, open_masks(path, expected=expected), path)


def _scene(
    table: ObjectTable, images: SplitImages, shown: Mapping[Hashable, Any], cell: _Cell
) -> Scene:
    row = shown["row"]
    image = table.image_index[row]
    size = {"height_px": int(table.height_px[image]), "width_px": int(table.width_px[image])}
    x, y = table.point_px[row, CENTER].tolist()
    return Scene(
        rgb=images.read(shown["file"], **size),
        truth=decode_rle(str(table.mask_rle[row]), **size),
        prediction=foreground(cell.mask_code(row, shown["task"]), **size),
        click_px=(x, y),
        box_px=tuple(table.box_px[row].tolist()),
    )


if __name__ == "__main__":
    main()
