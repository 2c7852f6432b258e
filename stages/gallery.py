"""Stage ``gallery``: the most and the least uncertain objects of each kind as pictures.

Reads   ``params.yaml:gallery``, ``params.yaml:splits``, ``results/splits/<split>/ranking.csv``,
        ``cache/objects/<split>.zarr``, ``cache/features/<split>`` and ``cache/masks/<split>``
        (identity), the images; ``params.yaml:extract``, to hold the cells to it.
Writes  ``results/gallery/<split>/``: ``gallery.csv`` and a JPEG per row.
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from pipeline.gallery.choice import Judging, by_judged, gallery_rows
from pipeline.gallery.pictures import Scene, draw_scene, foreground
from pipeline.scoring.measures import ranked_name
from pipeline.scoring.tasks import judged_proposal
from pipeline.views import default_view
from pipeline.vocabulary import PROMPTS
from stages.shell.asked import asked_of_eval
from stages.shell.edge import stage_main
from stages.shell.params import read_params
from stages.shell.place import cache_place
from stages.shell.progress import progress
from stages.shell.rules import check_known
from stages.shell.unchanged import check_unchanged
from storage.errors import DataError
from storage.images.of_split import SplitImages
from storage.outputs.columns import COLUMNS
from storage.outputs.files import read_blocks
from storage.outputs.gallery import Gallery, encode_jpeg, write_gallery
from storage.paths import gallery_dir, objects_path, results_dir
from storage.rle import decode_rle
from storage.split.cells import OpenCell, SplitCells, open_cells
from storage.split.objects import ObjectTable

CENTER: Final = PROMPTS.index("center")


@stage_main
def main(split: str) -> None:
    """Draw the gallery of one eval split."""
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    results = results_dir(split) / "ranking.csv"
    objects = by_judged(read_blocks(results, COLUMNS["ranking"]))
    shown = gallery_rows(objects, params.gallery.n_objects)
    models = shown["model"].unique().tolist()
    asked = asked_of_eval(params.extract, models, [default_view("identity")])
    cells = open_cells(split, asked, with_masks=True, cache=cache_place())
    table = cells.table
    _check_objects(results, objects, cells)
    files = [str(file) for file in table.file]
    shown["file"] = [files[image] for image in table.image_index[shown["row"]]]
    shown["picture"] = [_picture_name(row) for row in shown.to_dict("records")]
    images = SplitImages(Path(params.splits[split].images), files)
    pictures = {}
    with progress(f"gallery {split}", len(shown), "pictures") as advance:
        # In the order of the images, so that the frames of a video are decoded forwards.
        for row in shown.sort_values("row").to_dict("records"):
            scene = _scene(table, images, row, cells.by_name[row["model"], "identity"])
            pictures[row["picture"]] = encode_jpeg(draw_scene(scene, params.gallery.side_px))
            advance(1)
    check_unchanged()
    write_gallery(gallery_dir(split), Gallery(shown, pictures))


def _picture_name(row: Mapping[Hashable, Any]) -> str:
    return f"{row['protocol']}-{ranked_name(row['task'], row['measure'])}-{row['rank']}.jpg"


def _check_objects(path: Path, objects: Mapping[Judging, pd.DataFrame], cells: SplitCells) -> None:
    for key in sorted(objects):
        if not np.array_equal(objects[key]["object_id"], cells.table.object_id):
            protocol, judged, model = key
            raise DataError(
                f"{path} must hold the objects of {objects_path(cells.split)} for {model} "
                f"({protocol}, {judged})"
            )


def _mask_code(cell: OpenCell, row: int, judged: str) -> UInt8[np.ndarray, "y x"]:
    """Coded mask of the judged proposal."""
    by = {"best": "iou", "selected": "sam_score"}[judged]
    scores = cell.scores(by, range(row, row + 1))[0, CENTER]
    code: UInt8[np.ndarray, "y x"] = cell.mask_code(row)[CENTER, int(scores.argmax())]
    return code


def _scene(
    table: ObjectTable, images: SplitImages, shown: Mapping[Hashable, Any], cell: OpenCell
) -> Scene:
    row, judged = shown["row"], judged_proposal(shown["protocol"], shown["task"])
    image = table.image_index[row]
    size = {"height_px": int(table.height_px[image]), "width_px": int(table.width_px[image])}
    x, y = table.point_px[row, CENTER].tolist()
    return Scene(
        rgb=images.read(shown["file"], **size),
        truth=decode_rle(str(table.mask_rle[row]), **size),
        prediction=foreground(_mask_code(cell, row, judged), **size),
        click_px=(x, y),
        box_px=tuple(table.box_px[row].tolist()),
    )


if __name__ == "__main__":
    main()
