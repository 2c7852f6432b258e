"""The table of data sets, and which objects a split has."""

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from stages.settings.blocks import OPTIONS
from storage.datasets import readers
from storage.datasets.object_records import Annotated, ImageRecord, Medium, Source, SplitRecords
from storage.datasets.readers import (
    DATA_SETS,
    DataSet,
    collect,
    list_selected,
)
from storage.images.videos import SplitImages
from storage.rle import decode_rle, encode_rle
from tests.fixtures.layouts import LAYOUTS, SIZE_PX, draw_videos
from tests.fixtures.read_split import read_place


def test_what_readers_know_are_fields_of_a_source() -> None:
    names = {name for item in DATA_SETS.values() for name in (*item.needs, *item.takes)}

    assert names == set(OPTIONS)
    assert {item.name for item in fields(Source)} == {"images", "annotations", *OPTIONS}


@pytest.mark.parametrize("reader", LAYOUTS)
def test_every_layout_has_the_masks_and_the_images_that_were_drawn(
    reader: str, tmp_path: Path
) -> None:
    videos = draw_videos(3, 1)
    pictures = [*chain.from_iterable(videos.values())]
    place = LAYOUTS[reader](tmp_path, videos)
    records = read_place(place, min_area_px=1)
    expected = [(k, mask) for k, picture in enumerate(pictures) for mask in picture.masks.values()]
    for item, (index, mask) in zip(records.objects, expected, strict=True):
        assert item.image_index == index
        np.testing.assert_array_equal(decode_rle(item.mask_rle, SIZE_PX, SIZE_PX), mask)
    images = SplitImages(Path(place["images"]), [image.file for image in records.images])
    for image, picture in zip(records.images, pictures, strict=True):
        size = {"height_px": SIZE_PX, "width_px": SIZE_PX}
        sha256, _ = images.inspect(image.file, **size)
        rgb = images.read(image.file, **size, sha256=sha256)
        # Video has a colour for four pixels together.
        limit = 20 if reader == "sav_videos" else 4
        assert np.abs(rgb.astype(float) - picture.rgb).mean() < limit


MASK, SMALL = (encode_rle(np.arange(100).reshape(10, 10) < n) for n in (50, 5))


def parts(n: int, n_images: int, read: list[str]) -> list[Medium]:
    """Videos of pictures with two large objects and a small one; the last picture has none."""

    def images(name: str) -> Iterator[Annotated]:
        read.append(name)
        for k in range(n_images):
            masks = ((1, MASK), (2, MASK), (3, SMALL)) if k < n_images - 1 else ()
            yield Annotated(ImageRecord(f"{name}/{k}", 10, 10), masks)

    return [Medium(f"{k}", partial(images, f"{k}")) for k in range(n)]


def taken(n: int, max_objects: int | None) -> SplitRecords:
    """Records of objects that are taken from a data set of some videos."""
    data_set = DataSet(lambda _: parts(n, 3, []))
    place = Source(Path(), Path())
    media = list_selected(data_set, place, max_objects=max_objects, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "_check_files", lambda *_: None)
        return collect(media, place, min_area_px=10, max_objects=max_objects)


def test_a_number_of_objects_is_of_whole_videos_from_all_over_and_a_larger_one_appends() -> None:
    n, step = 40, 7
    rows = taken(n, 4 * n)
    assert rows.n_media == n
    for max_objects in range(1, 4 * n, step):
        fewer = taken(n, max_objects)
        assert fewer.objects == rows.objects[:max_objects]
        assert fewer.images == rows.images[: len(fewer.images)]
        assert fewer.n_media == -(-max_objects // 4), "each video is whole but the last"
    videos = [int(image.file.partition("/")[0]) for image in taken(n, 80).images]
    assert {video // 10 for video in videos} == {0, 1, 2, 3}
    assert taken(n + 1, 4).images[0] in (rows.images[0], ImageRecord(f"{n}/0", 10, 10))
    files = [image.file for image in taken(n, None).images]
    assert files == [f"{video}/{k}" for video in range(n) for k in range(2)]


def drawn(max_per_image: int | None, seed: int = 0) -> SplitRecords:
    """Records of three pictures of 40 objects each, and of a small one that never counts."""
    masks = (*((number, MASK) for number in range(40)), (40, SMALL))
    items = [Annotated(ImageRecord(f"{k}", 10, 10), masks) for k in range(3)]
    media = [Medium(item.image.file, partial(iter, [item])) for item in items]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "_check_files", lambda *_: None)
        return collect(
            media,
            Source(Path(), Path()),
            min_area_px=10,
            max_objects=None,
            max_per_image=max_per_image,
            seed=seed,
        )


def test_objects_of_an_image_are_drawn_in_their_order_and_a_larger_number_keeps_them() -> None:
    everything = drawn(None).objects
    taken_before: set[tuple[int, int]] = set()
    for limit in (1, 5, 39, 40, 41):
        objects = drawn(limit).objects
        assert len(objects) == 3 * min(limit, 40)
        ids = [(item.image_index, item.object_id) for item in objects]
        assert ids == sorted(ids)
        assert set(objects) <= set(everything)
        assert taken_before <= set(ids)
        taken_before = set(ids)
    by_image = [
        {item.object_id for item in drawn(5).objects if item.image_index == k} for k in (0, 1)
    ]
    assert by_image[0] != by_image[1], "each image draws anew"
    assert drawn(5, seed=1).objects != drawn(5).objects
