"""Which objects belong together: by image, or by video."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from stages.training.data import group_index
from storage.split.object_table import ObjectTable
from tests.fixtures.made_up_objects import arrays_of

DAVIS = ("bear/00000.jpg", "bear/00001.jpg", "dog/00000.jpg")
SAV_TRAIN = ("sav_000/a.mp4#00000", "sav_000/a.mp4#00004", "sav_000/b.mp4#00000")
COCO = ("000000000139.jpg", "000000000285.jpg", "val/000000000632.jpg")


def table_of(
    files: Sequence[str], image_index: Sequence[int], signature: Mapping[str, object]
) -> ObjectTable:
    """Objects of these images; all else is made up."""
    n = len(image_index)
    arrays = {name: array[:n] for name, array in arrays_of(n, 1).items()}
    arrays["height_px"] = arrays["width_px"] = np.full(len(files), 8, np.int32)
    arrays["image_sha256"] = arrays["file"] = np.array(files, np.dtypes.StringDType())
    arrays["image_index"] = np.array(image_index, np.int32)
    return ObjectTable(**arrays, signature=signature)


@pytest.mark.parametrize(
    ("signature", "files", "groups"),
    [
        pytest.param({"group": "video"}, DAVIS, [0, 0, 0, 1], id="folders of frames"),
        pytest.param({"group": "video"}, SAV_TRAIN, [0, 0, 0, 1], id="frames of mp4 files"),
        pytest.param({"group": "image"}, COCO, [0, 0, 1, 2], id="images"),
        # Folders of images are no videos.
        pytest.param({"group": "image"}, DAVIS, [0, 0, 1, 2], id="folders of images"),
    ],
)
def test_objects_of_a_video_or_else_of_an_image_are_one_group(
    signature: Mapping[str, object], files: Sequence[str], groups: list[int]
) -> None:
    assert group_index(table_of(files, [0, 0, 1, 2], signature)).tolist() == groups


@pytest.mark.parametrize(("group", "files"), [("image", COCO), ("video", DAVIS[::2] + DAVIS[1:2])])
def test_numbers_leave_none_out_where_an_image_has_no_object(
    group: str, files: Sequence[str]
) -> None:
    assert group_index(table_of(files, [1, 1, 2], {"group": group})).tolist() == [0, 0, 1]


def test_videos_of_one_name_in_two_subsets_are_two() -> None:
    files = ("sav_000/a.mp4#00000", "sav_001/a.mp4#00000")

    assert group_index(table_of(files, [0, 1], {"group": "video"})).tolist() == [0, 1]
