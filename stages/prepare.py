"""Stage ``prepare``: a data set in, the row order, ground truth and clicks of a split out.

Reads   ``params.yaml:prepare``, ``params.yaml:splits``, the data set.
Writes  ``cache/objects/<split>.zarr``.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Shaped

from pipeline.prompts import measure_objects
from pipeline.seeds import derive_seed
from pipeline.vocabulary import SINGLE_CLICKS
from stages.program.main import check_unchanged, stage_main
from stages.program.progress import ahead, counting, progress
from stages.settings.blocks import PrepareParams, Split
from stages.settings.params import check_size, read_params
from stages.settings.parsing import check_known
from stages.settings.signatures import objects_signature
from storage.datasets.object_records import ImageRecord, SplitRecords
from storage.datasets.readers import collect, list_selected
from storage.errors import ImageError, counted, listed
from storage.images.image_files import is_confirmed
from storage.images.videos import SplitImages
from storage.paths import HEADS, objects_path
from storage.rle import decode_rle, smallest_around
from storage.split.object_table import PERSON_ARRAYS, ObjectTable, write_objects


@stage_main
def main(split: str) -> None:
    """Read the annotations of a split, draw clicks, and write the store of objects."""
    params = read_params()
    check_known("split", split, params.splits)
    location, prepare = params.splits[split], params.prepare
    records = read_records(split, location, prepare)
    note = check_size(
        split,
        records.n_media,
        is_train=split in params.train_splits,
        is_eval=split in params.eval_splits,
    )
    if note:
        print(note)
    write_records(split, records, location, prepare)
    # The stage ``evaluate`` depends on this folder. Without train splits, no other stage makes it.
    HEADS.mkdir(exist_ok=True)


def read_records(split: str, location: Split, prepare: PrepareParams) -> SplitRecords:
    """Read the annotations of a split, and print how many objects they have."""
    source, max_objects = location.source, location.max_objects
    media = list_selected(location.data_set, source, max_objects=max_objects, seed=prepare.seed)
    with progress(f"read {split}", len(media), "parts") as advance:
        records = collect(
            counting(media, advance),
            source,
            min_area_px=prepare.min_area_px,
            max_objects=max_objects,
            max_per_image=location.max_objects_per_image,
            seed=prepare.seed,
        )
    without_auto = f"; videos without automatic masklets: {records.n_without_auto}"
    print(
        f"{split}: {counted(len(records.objects), 'object')} in "
        f"{counted(len(records.images), 'image')}; left out: "
        f"{counted(records.n_crowd, 'crowd')}, {records.n_small} below {prepare.min_area_px} px"
        f"{without_auto if records.n_without_auto else ''}"
    )
    return records


def write_records(
    split: str, records: SplitRecords, location: Split, prepare: PrepareParams
) -> None:
    """Draw clicks for the objects of a split, and write the store of objects."""
    table = _tabulate(split, records, Path(location.images), prepare.seed)
    check_unchanged()
    write_objects(objects_path(split), table, objects_signature(split, location, prepare))


def _tabulate(split: str, records: SplitRecords, folder: Path, seed: int) -> ObjectTable:
    images, objects = records.images, records.objects
    sha256 = _digests(split, images, folder)
    with progress(f"prepare {split}", len(objects)) as advance:
        masks = (
            (
                decode_rle(item.mask_rle, image.height_px, image.width_px),
                derive_seed(seed, image.file, item.object_id),
            )
            for item in counting(objects, advance)
            for image in [images[item.image_index]]
        )
        truth = measure_objects(masks)
    annotators = [item.annotator for item in objects if item.annotator is not None]
    persons = {person for segments in records.segments for person, _ in segments}
    around: dict[str, Any] = {
        name: _around_clicks(records, truth.point_px[:, SINGLE_CLICKS.index(click)])
        for click, name in PERSON_ARRAYS.items()
        if len(persons) > 1
    }
    return ObjectTable(
        file=np.array([image.file for image in images], object),
        height_px=np.array([image.height_px for image in images], np.int32),
        width_px=np.array([image.width_px for image in images], np.int32),
        image_sha256=np.array(sha256, object),
        image_index=np.array([item.image_index for item in objects], np.int32),
        object_id=np.array([item.object_id for item in objects], np.int64),
        mask_rle=np.array([item.mask_rle for item in objects], object),
        area_px=truth.area_px,
        box_px=truth.box_px,
        point_px=truth.point_px,
        annotator=np.array(annotators, np.int32) if annotators else None,
        **around,
    )


def _around_clicks(
    records: SplitRecords, points: Int32[np.ndarray, "object 2"]
) -> Shaped[np.ndarray, "object person"]:
    """RLE of each person's segment around each object's click (x, y); empty for none.

    It is the object itself for the person who outlined it, and the smallest for any other.
    """
    n_persons = 1 + max(person for segments in records.segments for person, _ in segments)
    index = np.array([item.image_index for item in records.objects])
    around: list[list[str]] = []
    for number, (image, segments) in enumerate(zip(records.images, records.segments, strict=True)):
        x, y = points[index == number].T.astype(np.int64)
        around += smallest_around(segments, x * image.height_px + y, n_persons)
    for by_person, item in zip(around, records.objects, strict=True):
        assert item.annotator is not None
        by_person[item.annotator] = item.mask_rle
    return np.array(around, object)


def _digests(split: str, images: Sequence[ImageRecord], folder: Path) -> list[str]:
    """Compute the SHA-256 of each image file of a split, in the order of ``images``.

    It prints notes on images that extraction cannot read, and on images that it may turn wrongly.
    """
    files = SplitImages(folder, [image.file for image in images])
    digests, faults, unconfirmed = [], [], []
    with (
        progress(f"digest {split}", len(images), "images") as advance,
        ThreadPoolExecutor(files.n_readers) as readers,
    ):
        inspected = ahead(
            readers,
            lambda image: files.inspect(image.file, **_size(image)),
            images,
            n=files.n_readers,
        )
        for image, (sha256, orientation) in zip(images, inspected, strict=True):
            digests.append(sha256)
            if isinstance(orientation, ImageError):
                faults.append(str(orientation))
            elif not is_confirmed(orientation, **_size(image)):
                unconfirmed.append(f"{image.file} ({orientation})")
            advance(1)
    for names, rule in (
        (faults, "must be fixed or replaced before extract"),
        (
            unconfirmed,
            "must be checked by eye, turned by an EXIF orientation that no size confirms",
        ),
    ):
        if names:
            print(f"note: {len(names)} of {counted(len(images), 'image')} {rule}: {listed(names)}")
    return digests


def _size(image: ImageRecord) -> dict[str, int]:
    return {"height_px": image.height_px, "width_px": image.width_px}


if __name__ == "__main__":
    main()
