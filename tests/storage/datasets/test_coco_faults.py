"""What the reader of COCO instances refuses, and how it says so."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import DataError
from tests.fixtures.made_up_coco import Json, annotation, instances, read
from tests.fixtures.read_split import read_split

Change = Callable[[Json], object]

FAULTS: dict[str, tuple[Change, str]] = {
    "annotation of an unlisted image": (
        lambda c: c["annotations"].extend(annotation(k, 9) for k in range(7)),
        "must be of listed images, got annotation 0 of image 9, .* 4 of image 9 and 2 more",
    ),
    "image file absent": (
        lambda c: c["images"][0].update(file_name="sub/gone.png"),
        "images with objects must be files in .*, got 1 missing: sub/gone.png",
    ),
    "mask of another size": (
        lambda c: c["annotations"][0]["segmentation"].update(size=[10, 8]),
        r"annotation 30 of 3.png: size of the mask must be its image's, \[8, 10\] .*got \[10, 8\]",
    ),
    "runs whose sum wraps around": (
        lambda c: c["annotations"][0]["segmentation"].update(counts=[2**62] * 4 + [80]),
        "annotation 30 of 3.png: RLE runs must cover 8 x 10 = 80 pixels, got 4611686018427387904",
    ),
    "run that is no number of pixels": (
        lambda c: c["annotations"][0]["segmentation"].update(counts=[10**30]),
        f"annotation 30 of 3.png: RLE runs must be pixels of the image, got a run of {10**30}",
    ),
    "id of more than 64 bits": (
        lambda c: c["annotations"][0].update(id=2**70),
        f"instances.json: COCO image 3.png: ids must be integers of 64 bits, got {2**70}",
    ),
    "polygon without brackets": (
        lambda c: c["annotations"][0].update(segmentation=[1, 1, 2, 2, 3, 3]),
        "annotation 30 of 3.png: polygon must be a list of numbers, got 1",
    ),
    "no segmentation": (
        lambda c: c["annotations"][0].pop("segmentation"),
        r"annotation 30 of 3.png must have a key 'segmentation', got \['id', 'image_id', 'iscrowd",
    ),
    "object id twice": (
        lambda c: c["annotations"].append(annotation(30, 7)),
        r"annotations\[3\] must have an id of its own, got 30 again",
    ),
    "id of truth": (
        lambda c: c["annotations"][1].update(id=True),
        r"id of .*annotations\[1\] must be int, got True",
    ),
    "image too large to read": (
        lambda c: c["images"][1].update(height=20_000, width=12_000),
        "image 3.png must have at most 178956970 pixels, got 20000 x 12000; shrink it, and its",
    ),
    "image outside the folder": (
        lambda c: c["images"][1].update(file_name="../3.png"),
        r"file_name of .*images\[1\] must lie below the folder of images, got '../3.png'",
    ),
    "image of text": (
        lambda c: c["images"].append("7"),
        r"images\[3\] must be a mapping, got '7'",
    ),
    "no object at all": (
        lambda c: c.update(annotations=[]),
        r"must have an object of 10 px or more, got none \(0 crowds, 0 smaller ones\)",
    ),
    "two crowds": (
        lambda c: c["annotations"][0].update(iscrowd=2),
        "iscrowd of .*: annotation 30 must be 0 or 1, got 2",
    ),
    "image under two spellings": (
        lambda c: c["images"][1].update(file_name="./7.png"),
        "images must have files of their own, got 7.png",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_place_and_value(tmp_path: Path, fault: str) -> None:
    change, message = FAULTS[fault]
    content = instances()
    change(content)

    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert str(caught.value).count("instances.json") == 1
    assert len(str(caught.value)) < len(str(tmp_path)) + 400


def test_a_name_that_no_store_can_hold_is_refused(tmp_path: Path) -> None:
    content = instances()
    content["images"][0]["file_name"] = os.fsdecode(b"\xff.png")
    (tmp_path / os.fsdecode(b"\xff.png")).touch()

    with pytest.raises(DataError, match=r"names of images must be UTF-8, got '\\udcff.png'"):
        read(tmp_path, content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.json must be a file of COCO instances, got no such"):
        read_split("coco", tmp_path, tmp_path / "gone.json", min_area_px=10, max_objects=None)
