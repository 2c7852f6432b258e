"""The reader of the ADE20K challenge: one object a class."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import DataError
from storage.rle import decode_rle
from tests.fixtures.layouts import SIZE_PX, Place, draw_videos, write_ade20k
from tests.fixtures.pipes import pipe_at
from tests.fixtures.read_split import read_place

VIDEOS = draw_videos(2)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Two images."""
    return write_ade20k(tmp_path, VIDEOS)


def mask_path(place: Place) -> Path:
    return Path(place["annotations"]) / "ADE_val_00000002.png"


def test_an_object_is_a_class(place: Place) -> None:
    ids = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    ids[:5], ids[10:15, :4], ids[40:] = 150, 1, 1
    Image.fromarray(ids).save(mask_path(place))

    records = read_place(place, min_area_px=1)

    assert [image.file for image in records.images] == [
        "ADE_val_00000001.jpg",
        "ADE_val_00000002.jpg",
    ]
    found = {item.object_id: item.mask_rle for item in records.objects if item.image_index == 1}
    assert set(found) == {1, 150}
    for number, rle in found.items():
        np.testing.assert_array_equal(decode_rle(rle, SIZE_PX, SIZE_PX), ids == number)


def test_a_pipe_in_place_of_a_mask_is_refused_not_waited_for(place: Place) -> None:
    message = "ADE20K image ADE_val_00000002: .*png must be a readable PNG file, got: a pipe or a"
    with pipe_at(mask_path(place)), pytest.raises(DataError, match=message):
        read_place(place)


def test_a_class_beyond_the_last_is_named(place: Place) -> None:
    Image.fromarray(np.full((8, 8), 151, np.uint8)).save(mask_path(place))
    message = "ADE20K image ADE_val_00000002: .*png must hold classes 0 to 150, got 151"
    with pytest.raises(DataError, match=message):
        read_place(place)
