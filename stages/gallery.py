"""Stage ``gallery``: draws objects at the ends of rankings, and objects of doubted annotations.

Reads   ``params.yaml:gallery``, ``params.yaml:splits``, ``results/splits/<split>/ranking.csv`` and
        ``annotations.csv`` (checked by their digests in ``run.json``),
        ``cache/objects/<split>.zarr``, ``cache/features/<split>`` and ``cache/masks/<split>``
        (view identity), the images; ``params.yaml:extract``, to check the cells.
Writes  ``results/gallery/<split>/``: ``gallery.csv``, a WebP per row and ``gallery.json``.
"""

from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.annotations import DOUBTED, doubted_rows
from pipeline.gallery import Judging, by_judged, gallery_rows
from pipeline.scoring.measures import ranked_name
from pipeline.scoring.tasks import shown_model
from pipeline.views import default_view
from pipeline.vocabulary import TRAIN_PROMPTS
from stages.executor.tasks import in_threads
from stages.object_pictures import by_source, draw_objects
from stages.program.main import check_unchanged, stage_main
from stages.program.progress import progress
from stages.settings.params import cache_location, read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import eval_settings
from storage.errors import DataError
from storage.outputs.results import Gallery, read_annotations, read_ranking, write_gallery
from storage.paths import gallery_dir, objects_path, results_dir
from storage.split.split_cells import SplitCells, open_cells


@stage_main
def main(split: str) -> None:
    """Draw pictures of objects of an eval split, and write them.

    The objects are the most and the least uncertain, and those whose annotations are doubted most.
    """
    params = read_params()
    check_known("eval split", split, params.eval_splits)
    objects = by_judged(read_ranking(results_dir(split)))
    n_objects, largest = params.gallery.n_objects, shown_model([model for _, _, model in objects])
    ranked = gallery_rows(objects, n_objects).assign(prompt=TRAIN_PROMPTS[0])
    doubted = doubted_rows(read_annotations(results_dir(split)), largest, n_objects)
    shown = pd.concat([ranked, doubted], ignore_index=True)
    models = shown["model"].unique().tolist()
    identity = [default_view("identity")]
    expected = eval_settings(params.extract, split, models, identity, params.extra_prompts)
    cells = open_cells(split, expected, with_masks=True, cache=cache_location())
    _check_objects(objects, cells)
    image = cells.table.image_index[shown["row"]]
    shown["file"] = [str(file) for file in cells.table.file[image]]
    shown["picture"] = [_picture_name(row) for row in shown.to_dict("records")]
    draw = partial(draw_objects, cells, Path(params.splits[split].images), params.gallery.side_px)
    pictures: dict[str, bytes] = {}
    with progress(f"gallery {split}", len(shown), "pictures") as advance:
        for of_one_source in in_threads(draw, by_source(shown.to_dict("records"))):
            pictures |= of_one_source
            advance(len(of_one_source))
    check_unchanged()
    write_gallery(gallery_dir(split), Gallery(shown, pictures))


def _picture_name(row: Mapping[Hashable, Any]) -> str:
    if row["end"] == DOUBTED:
        return f"{DOUBTED}-{row['rank']}.webp"
    return f"{row['protocol']}-{ranked_name(row['task'], row['measure'])}-{row['rank']}.webp"


def _check_objects(objects: Mapping[Judging, pd.DataFrame], cells: SplitCells) -> None:
    for key in sorted(objects):
        if not np.array_equal(objects[key]["object_id"], cells.table.object_id):
            protocol, judged, model = key
            raise DataError(
                f"{results_dir(cells.split)}/ranking.csv must hold the objects of "
                f"{objects_path(cells.split)} for {model} ({protocol}, {judged})"
            )


if __name__ == "__main__":
    main()
