"""The reader of COCO instances: what it reads, and in which order."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from storage.datasets.coco import compress_polygons
from storage.datasets.object_records import ImageRecord, ObjectRecord, SplitRecords
from storage.errors import DataError
from storage.images.image_files import read_rgb
from storage.rle import area_rle, decode_rle, encode_rle
from tests.fixtures.made_up_coco import (
    HEIGHT_PX,
    WIDTH_PX,
    annotation,
    box_mask,
    instances,
    read,
    segmented,
)
from tests.fixtures.read_split import read_split

SAMPLES = Path(__file__).parents[4] / "shared" / "samples" / "COCO"


def _mask(records: SplitRecords) -> np.ndarray:
    return decode_rle(records.objects[0].mask_rle, HEIGHT_PX, WIDTH_PX)


def test_objects_follow_the_images_and_images_without_objects_are_dropped(tmp_path: Path) -> None:
    rle = encode_rle(box_mask(1, 1, 4, 5))

    assert read(tmp_path, instances()) == SplitRecords(
        images=(ImageRecord("7.png", 8, 10), ImageRecord("3.png", 8, 10)),
        objects=(ObjectRecord(0, 70, rle), ObjectRecord(1, 30, rle), ObjectRecord(1, 31, rle)),
        n_media=2,
    )


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 5, 1, 5, 6, 1, 6]],
        [[1.0, 1.0, 3.0, 1.0, 3.0, 6.0, 1.0, 6.0], [3, 1, 5, 1, 5, 6, 3, 6]],
        {"size": [8, 10], "counts": encode_rle(box_mask(1, 1, 4, 5))},
        {"size": [8, 10], "counts": [9, 5, 3, 5, 3, 5, 3, 5, 42]},
    ],
    ids=["polygon", "polygons", "compressed", "uncompressed"],
)
def test_every_form_of_a_mask_is_read(tmp_path: Path, segmentation: object) -> None:
    np.testing.assert_array_equal(
        _mask(read(tmp_path, segmented(segmentation))), box_mask(1, 1, 4, 5)
    )


def test_crowds_and_small_objects_are_left_out_and_counted(tmp_path: Path) -> None:
    content = instances()
    content["annotations"] += [
        annotation(1, 5, iscrowd=1),
        annotation(2, 7, segmentation=[[0, 0, 3, 0, 3, 3, 0, 3]]),
        annotation(3, 7, segmentation=[]),
    ]

    records = read(tmp_path, content)

    assert [item.object_id for item in records.objects] == [70, 30, 31]
    assert (records.n_crowd, records.n_small) == (1, 2)


def test_the_area_is_that_of_the_mask_and_not_what_the_file_says(tmp_path: Path) -> None:
    nine = {"size": [8, 10], "counts": encode_rle(box_mask(0, 0, 3, 3))}
    ten = {"size": [8, 10], "counts": encode_rle(box_mask(0, 0, 5, 2))}
    content = instances()
    content["annotations"] = [
        annotation(1, 7, segmentation=nine, area=100),
        annotation(2, 7, segmentation=ten, area=1),
    ]

    assert [item.object_id for item in read(tmp_path, content).objects] == [2]


def test_of_a_limited_number_of_objects_other_images_need_not_be_there(tmp_path: Path) -> None:
    content = instances()
    content["annotations"].append(annotation(50, 5))
    names = [image["file_name"] for image in content["images"]]
    first = read(tmp_path, content, max_objects=1).images[0].file
    for image in content["images"]:
        if image["file_name"] != first:
            image["file_name"] = f"absent-{image['file_name']}"

    records = read(tmp_path, content, max_objects=1)

    assert (len(names), [image.file for image in records.images]) == (3, [first])


@pytest.mark.skipif(not SAMPLES.exists(), reason="needs ../shared/samples")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pycocotools' decoder
@pytest.mark.parametrize("name", ["train2017", "val2017"])
def test_real_masks_are_those_of_pycocotools(name: str) -> None:
    path = SAMPLES / "annotations" / f"instances_{name}.json"
    official = COCO(path)
    expected = [
        item
        for image_id in official.imgs
        for item in official.imgToAnns[image_id]
        if not item["iscrowd"] and official.annToMask(item).sum() >= 10
    ]

    records = read_split("coco", SAMPLES / name, path, min_area_px=10, max_objects=None)

    assert [item.object_id for item in records.objects] == [item["id"] for item in expected]
    for ours, theirs in zip(records.objects, expected, strict=True):
        image = records.images[ours.image_index]
        assert image.file == official.imgs[theirs["image_id"]]["file_name"]
        mask = decode_rle(ours.mask_rle, image.height_px, image.width_px)
        np.testing.assert_array_equal(mask, official.annToMask(theirs).astype(bool))
    for image in records.images:
        read_rgb(SAMPLES / name / image.file, height_px=image.height_px, width_px=image.width_px)


# Not ours: pycocotools' decoder still takes arrays in the way of NumPy 1.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@given(
    st.lists(
        st.lists(st.tuples(st.floats(-5, 45), st.floats(-5, 35)), min_size=3, max_size=8),
        min_size=1,
        max_size=3,
    )
)
def test_polygons_become_the_union_that_pycocotools_draws(
    polygons: list[list[tuple[float, float]]],
) -> None:
    flat = [[v for corner in polygon for v in corner] for polygon in polygons]
    parts = coco_mask.frPyObjects(flat, 30, 40)

    ours = decode_rle(compress_polygons(flat, 30, 40), 30, 40)

    np.testing.assert_array_equal(ours, coco_mask.decode(parts).any(axis=2))


@pytest.mark.parametrize("polygons", [[], [[]], [[1.0, 1.0, 5.0, 5.0]]])
def test_polygons_without_three_corners_enclose_nothing(polygons: list[list[float]]) -> None:
    assert area_rle(compress_polygons(polygons, 8, 9)) == 0


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([1.0] * 7, "polygon must have an even number of coordinates, got 7"),
        ([1.0] * 5 + [float("nan")], "polygon must lie within 9 px of its image, got nan"),
    ],
)
def test_malformed_polygons_are_refused(polygon: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        compress_polygons([polygon], 8, 9)
