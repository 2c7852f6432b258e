"""Reads or counts the objects of a data set by the name of its layout in ``params.yaml``."""

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Final

from storage.datasets.coco import list_coco
from storage.datasets.indexed_masks import list_ade20k, list_davis, list_mose
from storage.datasets.mask_folders import list_masks
from storage.datasets.object_records import ImageRecord, Medium, ObjectRecord, Source, SplitRecords
from storage.datasets.sav import list_sav_frames, list_sav_videos
from storage.errors import DataError, counted, listed, shown
from storage.images.videos import video_of
from storage.rle import area_rle

N_SAMPLED: Final = 500
"""Fewest images whose annotations are read before the rest of a split is estimated."""


@dataclass(frozen=True)
class Extent:
    """Images with an object, and objects."""

    n_images: int
    n_objects: int
    is_exact: bool


Reader = Callable[[Source], Sequence[Medium]]
"""Lists the images or videos of a split, in the order of its rows.

It reads no image, and as few masks as the layout allows.
"""


@dataclass(frozen=True)
class DataSet:
    """A layout: its reader, and the fields of ``Source`` that it uses beside the two folders."""

    list_media: Reader
    needs: tuple[str, ...] = ()
    """Fields that must be given."""
    takes: tuple[str, ...] = ()
    """Fields that may be given."""
    is_video: bool = False
    """Whether its images are frames of videos, named by ``frame_file`` or in a folder per video."""


DATA_SETS: Final[Mapping[str, DataSet]] = {
    "coco": DataSet(list_coco),
    "davis": DataSet(list_davis, needs=("list",), takes=("frames",), is_video=True),
    "ade20k": DataSet(list_ade20k),
    "mose": DataSet(list_mose, needs=("list",), takes=("frames",), is_video=True),
    "sav_videos": DataSet(list_sav_videos, takes=("frames", "subsets", "masklets"), is_video=True),
    "sav_frames": DataSet(list_sav_frames, needs=("list",), takes=("frames",), is_video=True),
    "masks": DataSet(list_masks, needs=("objects",), takes=("void", "suffix")),
}
"""Layouts by the name of their reader."""


def collect(
    media: Iterable[Medium], source: Source, *, min_area_px: int, max_objects: int | None
) -> SplitRecords:
    """Records of the objects of images or videos, in their order.

    Parameters
    ----------
    min_area_px
        Objects whose masks have fewer pixels are left out.
    max_objects
        Most objects that are taken, from the first on; no image or video beyond them is read. None
        takes all.

    Raises
    ------
    DataError
        If no object is left, or an image with an object has no file or a name that is not UTF-8.
    """
    skipped: Counter[str] = Counter()
    index: dict[ImageRecord, int] = {}
    rows = islice(_objects(media, min_area_px, skipped), max_objects)
    objects = tuple(
        ObjectRecord(index.setdefault(image, len(index)), number, rle)
        for image, number, rle in rows
    )
    if not objects:
        raise DataError(
            f"{source.annotations} must have an object of {min_area_px} px or more, got none "
            f"({counted(skipped['crowd'], 'crowd')}, {counted(skipped['small'], 'smaller one')})"
        )
    _check_files(source, index)
    return SplitRecords(
        images=tuple(index),
        objects=objects,
        n_crowd=skipped["crowd"],
        n_small=skipped["small"],
        n_without_auto=skipped["auto"],
    )


def estimate_extent(
    media: Sequence[Medium], *, min_area_px: int, max_objects: int | None
) -> Extent:
    """Extent of a split, from a sample of its images or videos; exact if the sample is all of them.

    Images or videos are drawn at random, by a fixed seed, until ``N_SAMPLED`` images are read.

    Raises
    ------
    DataError
        If an annotation that is read is faulty.
    """
    counts: list[int] = []
    n_read = 0
    for medium in random.Random(0).sample(media, len(media)):  # noqa: S311 - no secret
        if len(counts) >= N_SAMPLED:
            break
        counts += [
            sum(area_rle(rle) >= min_area_px for _, rle in item.masks)
            for item in medium.read_annotated()
        ]
        n_read += 1
    n_images, n_objects = sum(count > 0 for count in counts), sum(counts)
    share = Fraction(len(media), max(n_read, 1))
    most = n_objects * share
    if max_objects is not None and max_objects < most:
        # Of the last image, some objects may not be taken.
        return Extent(math.ceil(n_images * share * max_objects / most), max_objects, is_exact=False)
    return Extent(round(n_images * share), round(most), is_exact=n_read == len(media))


def _objects(
    media: Iterable[Medium], min_area_px: int, skipped: Counter[str]
) -> Iterator[tuple[ImageRecord, int, str]]:
    """Image, id and compressed RLE of each object, in their final order.

    Objects that are left out are counted in ``skipped``.
    """
    for medium in media:
        skipped["auto"] += medium.lacks_auto
        for item in medium.read_annotated():
            skipped["crowd"] += item.n_crowd
            for number, rle in item.masks:
                if area_rle(rle) < min_area_px:
                    skipped["small"] += 1
                else:
                    yield item.image, number, rle


def _check_files(source: Source, used: Collection[ImageRecord]) -> None:
    """Refuse names that are not UTF-8, which no store can hold, and names of missing files."""
    files = dict.fromkeys(video_of(image.file) or image.file for image in used)
    faulty = [shown(file) for file in files if file != file.encode(errors="replace").decode()]
    if faulty:
        raise DataError(
            f"{source.annotations}: names of images must be UTF-8, got {listed(faulty)}"
        )
    missing = [file for file in files if not (source.images / file).is_file()]
    if missing:
        raise DataError(
            f"{source.annotations}: images with objects must be files in {source.images}, "
            f"got {len(missing)} missing: {listed(missing)}"
        )
