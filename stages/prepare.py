"""Stage ``prepare``: a data set in, the row order, ground truth and clicks of a split out.

Reads   ``params.yaml:prepare``, ``params.yaml:splits``, the data set.
Writes  ``cache/objects/<split>.zarr``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.ground_truth import Mask, measure_objects
from pipeline.prompts import object_seed
from stages.params import Split, check_known, read_block, read_lists, strict
from stages.progress import progress
from stages.shell import stage_main
from storage.datasets import READERS
from storage.images import sha256_file
from storage.layout import objects_path
from storage.objects import ObjectTable, write_objects
from storage.records import Records
from storage.rle import decode_rle
from storage.signature import versions


@strict
class PrepareParams:
    """Block ``prepare``."""

    seed: Annotated[int, Field(ge=0)]
    min_area_px: Annotated[int, Field(ge=1)]


@stage_main
def main(split: str) -> None:
    """Prepare one split."""
    place = read_lists().split(split)
    params = read_block("prepare", PrepareParams)
    check_known("reader", place.reader, tuple(READERS))
    records = READERS[place.reader](
        Path(place.images),
        Path(place.annotations),
        min_area_px=params.min_area_px,
        max_objects=place.max_objects,
    )
    print(
        f"{split}: {len(records.objects)} objects in {len(records.images)} images; left out: "
        f"{records.n_crowd} crowds, {records.n_small} below {params.min_area_px} px"
    )
    table = _tabulate(split, records, Path(place.images), params.seed)
    signature = _signature(split, place, params)
    write_objects(objects_path(split), table, signature)


def _tabulate(split: str, records: Records, folder: Path, seed: int) -> ObjectTable:
    images, objects = records.images, records.objects
    with progress(f"prepare {split}", len(objects)) as advance:

        def masks() -> Iterator[tuple[Mask, int]]:
            for item in objects:
                image = images[item.image_index]
                mask = decode_rle(item.mask_rle, image.height_px, image.width_px)
                yield mask, object_seed(seed, image.file, item.object_id)
                advance(1)

        truth = measure_objects(masks())
    return ObjectTable(
        file=np.array([image.file for image in images], object),
        height_px=np.array([image.height_px for image in images], np.int32),
        width_px=np.array([image.width_px for image in images], np.int32),
        image_sha256=np.array([sha256_file(folder / image.file) for image in images], object),
        image_index=np.array([item.image_index for item in objects], np.int32),
        object_id=np.array([item.object_id for item in objects], np.int64),
        mask_rle=np.array([item.mask_rle for item in objects], object),
        area_px=truth.area_px,
        box_px=truth.box_px,
        point_px=truth.point_px,
    )


def _signature(split: str, place: Split, params: PrepareParams) -> dict[str, object]:
    """All that decides the rows, save the data set itself, whose images and masks are in them."""
    return {
        "split": split,
        "reader": place.reader,
        "min_area_px": params.min_area_px,
        "max_objects": "all" if place.max_objects is None else place.max_objects,
        "seed": params.seed,
        # Polygons are rasterised by one, masks eroded by the next, clicks drawn by the last.
        **versions("pycocotools", "opencv-python-headless", "numpy"),
    }


if __name__ == "__main__":
    main()
