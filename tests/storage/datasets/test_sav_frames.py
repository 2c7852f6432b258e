"""The reader of SA-V val and test: one folder per object, every fourth frame."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import DataError
from tests.fixtures.layouts import SIZE_PX, Place, draw_videos, write_sav_frames
from tests.fixtures.read_split import read_place

VIDEOS = draw_videos(3, 1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A video of nine frames and one of one."""
    return write_sav_frames(tmp_path, VIDEOS)


def masks_dir(place: Place) -> Path:
    return Path(place["annotations"]) / "video0"


def mask_path(place: Place, object_id: int = 1, frame: int = 4) -> Path:
    return masks_dir(place) / f"{object_id:03d}" / f"{frame:05d}.png"


def save(path: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask.astype(np.uint8)).save(path)


def test_every_fourth_frame_has_masks(place: Place) -> None:
    records = read_place(place, min_area_px=1)

    names = ["video0/00000.jpg", "video0/00004.jpg", "video0/00008.jpg", "video1/00000.jpg"]
    assert [image.file for image in records.images] == names


def test_objects_may_overlap_and_the_first_one_may_be_number_zero(place: Place) -> None:
    shutil.copytree(masks_dir(place) / "001", masks_dir(place) / "000")

    records = read_place(place)

    first = [item for item in records.objects if item.image_index == 0][:2]
    assert [item.object_id for item in first] == [0, 1]
    assert first[0].mask_rle == first[1].mask_rle


def test_an_object_that_is_away_on_a_frame_is_left_out_there(place: Place) -> None:
    save(mask_path(place), np.zeros((SIZE_PX, SIZE_PX)))
    mask_path(place, object_id=2, frame=8).unlink()

    records = read_place(place)

    found = {(item.image_index, item.object_id) for item in records.objects}
    assert not {(1, 1), (2, 2)} & found


def test_the_list_says_which_videos(place: Place) -> None:
    Path(place["list"]).write_text("video1\n")

    assert [image.file for image in read_place(place).images] == ["video1/00000.jpg"]


def _remove_all_masks(place: Place) -> None:
    for path in masks_dir(place).iterdir():
        shutil.rmtree(path)


FAULTS: dict[str, tuple[Callable[[Place], object], str]] = {
    "no objects": (
        _remove_all_masks,
        "SA-V video video0: every frame must have a mask in .*, got 3 without: 00000, 00004, ",
    ),
    "object of another name": (
        lambda p: (masks_dir(p) / "dog").mkdir(),
        "SA-V video video0: folders of objects must be numbers, got .*dog",
    ),
    "object without masks": (
        lambda p: (masks_dir(p) / "009").mkdir(),
        "SA-V video video0: object 009 must have masks in .*009, got none",
    ),
    "masks of two sizes": (
        lambda p: Image.fromarray(np.ones((SIZE_PX, 9), np.uint8)).save(mask_path(p)),
        r"SA-V video video0: masks of video0/00004.jpg must have one size, got \[\(64, 9\), ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_video_and_place(place: Place, fault: str) -> None:
    change, message = FAULTS[fault]
    change(place)

    with pytest.raises(DataError, match=message):
        read_place(place)
