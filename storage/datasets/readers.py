"""Reads the objects of a data set; ``params.yaml`` names the reader of its layout."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from pipeline.seeds import derive_seed
from storage.datasets.bsds500 import list_bsds500
from storage.datasets.coco import list_coco
from storage.datasets.indexed_masks import list_ade20k, list_davis, list_mose
from storage.datasets.mask_folders import list_masks
from storage.datasets.object_records import (
    Annotated,
    ImageRecord,
    Medium,
    ObjectRecord,
    Source,
    SplitRecords,
)
from storage.datasets.sav import list_sav_frames, list_sav_videos
from storage.errors import DataError, counted, listed, shown
from storage.images.videos import address_in, video_of
from storage.rle import area_rle

MOST_ID: Final = 2**63
"""Object ids must be below this number and at least its negative: stores hold ids in 64 bits."""

Reader = Callable[[Source], Sequence[Medium]]
"""Lists the images or videos of a data set in their order; raises ``DataError`` for faulty files.
It reads no image, and as few masks as the layout allows."""


@dataclass(frozen=True)
class DataSet:
    """A layout of data sets: its reader, and the fields of ``Source`` that the reader uses.

    ``images`` and ``annotations`` are used by every reader and are not listed.
    """

    list_media: Reader
    needs: tuple[str, ...] = ()
    """Fields of ``Source`` that settings must give."""
    takes: tuple[str, ...] = ()
    """Fields of ``Source`` that settings may give."""
    is_video: bool = False
    """Whether images are frames of videos, named by ``frame_file`` or in a folder per video."""


DATA_SETS: Final[Mapping[str, DataSet]] = {
    "coco": DataSet(list_coco),
    "davis": DataSet(list_davis, needs=("list",), takes=("frames",), is_video=True),
    "ade20k": DataSet(list_ade20k),
    "mose": DataSet(list_mose, needs=("list",), takes=("frames",), is_video=True),
    "sav_videos": DataSet(list_sav_videos, takes=("frames", "subsets", "masklets"), is_video=True),
    "sav_frames": DataSet(list_sav_frames, needs=("list",), takes=("frames",), is_video=True),
    "bsds500": DataSet(list_bsds500),
    "masks": DataSet(list_masks, needs=("objects",), takes=("void", "suffix")),
}
"""Layouts of data sets by the reader's name in ``params.yaml``."""


def list_selected(
    data_set: DataSet, source: Source, *, max_objects: int | None, seed: int
) -> Sequence[Medium]:
    """List the images or videos of a split in the order of the split's rows.

    Without ``max_objects``, it is the order of the data set, else a random order by ``seed``: the
    first objects of a file may all come from one corner of its data set. Whole images or videos are
    ordered, not objects, since the encoder's time is per image. The list is not shortened: a larger
    number later appends rows and changes none.
    """
    media = data_set.list_media(source)
    return media if max_objects is None else in_seeded_order(media, seed)


def in_seeded_order(media: Sequence[Medium], seed: int) -> list[Medium]:
    """Shuffle images or videos by a seed and by their index in ``media``.

    Appending a medium to ``media`` puts it at a random place and keeps the order of the others.
    Inserting or removing a medium elsewhere gives new places to all media after it.
    """
    return [media[i] for i in sorted(range(len(media)), key=lambda i: derive_seed(seed, i))]


def collect(
    media: Iterable[Medium],
    source: Source,
    *,
    min_area_px: int,
    max_objects: int | None,
    max_per_image: int | None = None,
    seed: int = 0,
) -> SplitRecords:
    """Read the objects of images or videos into records, in the order of ``media``.

    Parameters
    ----------
    media
        From ``list_selected``.
    min_area_px
        Objects whose masks have fewer pixels are left out.
    max_objects
        Largest number of objects to take, from the first on; later images or videos are not read.
        None takes all.
    max_per_image
        Largest number of objects of an image or frame to take, drawn by ``seed``. A larger number
        keeps the objects that a smaller number draws. None takes all.

    Raises
    ------
    DataError
        If annotations are faulty, an id has more than 64 bits, no object is left, or an image with
        an object has no file or a name that is not UTF-8.
    UnicodeEncodeError
        If the locale lacks a letter of an image's name.
    """
    skipped: Counter[str] = Counter()
    index: dict[ImageRecord, int] = {}
    draw = partial(_draw, limit=max_per_image, seed=seed)
    rows = islice(_objects(source, media, min_area_px, draw, skipped), max_objects)
    names = set()
    objects = []
    segments = {}
    for name, item, place in rows:
        names.add(name)
        image_index = index.setdefault(item.image, len(index))
        segments[image_index] = item.segments
        annotator = item.annotators[place] if item.annotators else None
        objects.append(ObjectRecord(image_index, *item.masks[place], annotator))
    if not objects:
        raise DataError(
            f"{source.annotations} must have an object of {min_area_px} px or more, got none "
            f"({counted(skipped['crowd'], 'crowd')}, {counted(skipped['small'], 'smaller one')})"
        )
    _check_files(source, index)
    return SplitRecords(
        images=tuple(index),
        objects=tuple(objects),
        n_media=len(names),
        segments=tuple(segments.values()) if any(segments.values()) else (),
        n_crowd=skipped["crowd"],
        n_small=skipped["small"],
        n_without_auto=skipped["auto"],
    )


def _objects(
    source: Source,
    media: Iterable[Medium],
    min_area_px: int,
    draw: Callable[[Annotated, Sequence[int]], Sequence[int]],
    skipped: Counter[str],
) -> Iterator[tuple[str, Annotated, int]]:
    """Yield each object of a split, in its order: name of its medium, its image, its place there.

    ``draw`` takes an image and the places of its objects, and returns those to keep. Objects that
    are left out for another reason are counted in ``skipped`` by that reason: ``crowd`` or
    ``small``; media that lack automatic masklets, as ``auto``. Raises a DataError if an id has more
    than 64 bits.
    """
    for medium in media:
        skipped["auto"] += medium.lacks_auto
        for item in medium.read_annotated():
            for number, _ in item.masks:
                if not -MOST_ID <= number < MOST_ID:
                    raise DataError(
                        f"{source.annotations}: {medium.name}: ids must be integers of 64 bits, "
                        f"got {shown(number)}"
                    )
            large = [*_large(item, min_area_px)]
            skipped["crowd"] += item.n_crowd
            skipped["small"] += len(item.masks) - len(large)
            for place in draw(item, large):
                yield medium.name, item, place


def _large(item: Annotated, min_area_px: int) -> Iterator[int]:
    """Yield the places of an image's masks of ``min_area_px`` pixels or more, in their order."""
    return (k for k, (_, rle) in enumerate(item.masks) if area_rle(rle) >= min_area_px)


def _draw(item: Annotated, places: Sequence[int], *, limit: int | None, seed: int) -> Sequence[int]:
    """Draw ``limit`` of an image's objects at most, by their ids; they stay in their order."""
    if limit is None or len(places) <= limit:
        return places
    drawn = sorted(places, key=lambda k: derive_seed(seed, item.image.file, item.masks[k][0]))
    return sorted(drawn[:limit])


def _check_files(source: Source, used: Collection[ImageRecord]) -> None:
    """Raise a DataError for images whose names are not UTF-8, and for images without a file.

    No store can hold such names. Files at an address are not checked.
    """
    files = dict.fromkeys(video_of(image.file) or image.file for image in used)
    faulty = [shown(file) for file in files if file != file.encode(errors="replace").decode()]
    if faulty:
        raise DataError(
            f"{source.annotations}: names of images must be UTF-8, got {listed(faulty)}"
        )
    if address_in(source.images):  # reading them will tell
        return
    missing = [file for file in files if not _is_file(source.images / file)]
    if missing:
        raise DataError(
            f"{source.annotations}: images with objects must be files in {source.images}, "
            f"got {len(missing)} missing: {listed(missing)}"
        )


def _is_file(path: Path) -> bool:
    """Whether a file exists; a name that the locale cannot encode raises a UnicodeEncodeError.

    ``Path.is_file`` alone would say no.
    """
    os.fsencode(path)
    return path.is_file()
