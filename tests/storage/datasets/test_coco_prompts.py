"""Boxes and keypoints of COCO as prompts; what is none is named."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from storage.datasets.coco import CocoPrompt, read_prompts
from storage.errors import DataError
from storage.rle import area_rle

IMAGES = [
    {"id": 7, "file_name": "a.png", "height": 20, "width": 30},
    {"id": "x", "file_name": "b.png", "height": 20, "width": 30},
]


def write(path: Path, *items: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"images": IMAGES, "annotations": list(items)}), encoding="utf-8")
    return path


def annotation(**own: Any) -> dict[str, Any]:  # noqa: ANN401 - what JSON holds
    return {"id": 1, "image_id": 7, "category_id": 3, **own}


def test_boxes_become_corners_and_images_without_annotations_are_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        annotation(bbox=[1, 2, 10.5, 4]),
        {"id": 9, "image_id": 7, "bbox": [0, 0, 30, 20], "keypoints": "not read"},
    )
    (asked,), _ = read_prompts(path, "box")
    assert (asked.image_id, asked.image.file) == (7, "a.png")
    assert asked.prompts == (
        CocoPrompt(1, 3, (1.0, 2.0, 11.5, 6.0), ()),
        CocoPrompt(9, 1, (0.0, 0.0, 30.0, 20.0), ()),
    )


def test_labelled_keypoints_are_clicks_and_annotations_without_one_are_counted(
    tmp_path: Path,
) -> None:
    points = [1, 2, 2, 0, 0, 0, 29.5, 19, 1]
    path = write(
        tmp_path / "a.json",
        annotation(image_id="x", keypoints=points),
        {"id": 2, "image_id": "x", "num_keypoints": 0, "keypoints": [0, 0, 0] * 3},
        {"id": 3, "image_id": 7, "iscrowd": 1, "num_keypoints": 0, "keypoints": [0, 0, 0] * 3},
    )
    (asked,), n_left_out = read_prompts(path, "clicks")
    assert (asked.image_id, n_left_out) == ("x", 2)
    assert asked.prompts == (CocoPrompt(1, 3, None, ((1.0, 2.0), (29.5, 19.0))),)


def test_boxes_of_width_or_height_0_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        annotation(bbox=[1, 2, 3, 4]),
        {"id": 918, "image_id": "x", "bbox": [9.98, 8.56, 5.54, 0.0]},
        {"id": 919, "image_id": 7, "bbox": [9.98, 8.56, 0, 5]},
    )
    (asked,), n_left_out = read_prompts(path, "box")
    assert ([prompt.annotation_id for prompt in asked.prompts], n_left_out) == ([1], 2)


def test_overlooked_objects_have_the_masks_of_all_annotations_beside_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", annotation(segmentation=[[0, 0, 4, 0, 4, 4, 0, 4]]))
    (first, second), n_left_out = read_prompts(path, "overlooked")
    assert (first.prompts, second.annotated, n_left_out) == ((), (), 0)
    assert [area_rle(counts) for counts in first.annotated or ()] == [16]
    with pytest.raises(DataError, match=r"annotation 1 of a\.png must have a key 'segmentation'"):
        read_prompts(write(tmp_path / "a.json", annotation()), "overlooked")


@pytest.mark.parametrize(
    ("kind", "own", "usable"),
    [
        ("box", {"bbox": [1, 2, 3, 0]}, "box wider and higher than 0 px"),
        ("clicks", {"keypoints": [1, 2, 0]}, "labelled keypoint (v > 0)"),
    ],
)
def test_a_file_without_any_prompt_is_refused(
    kind: str, own: dict[str, Any], usable: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.json", annotation(**own))
    with pytest.raises(DataError, match=re.escape(f"must have one {usable} or more, got none")):
        read_prompts(path, kind)


@pytest.mark.parametrize(
    ("kind", "own", "message"),
    [
        ("box", {}, "must have a key 'bbox'"),
        ("box", {"bbox": [1, 2, 3]}, "must be x, y, w, h, got [1, 2, 3]"),
        ("box", {"bbox": [1, 2, 3, "4"]}, "must hold int or float only, got '4'"),
        ("clicks", {}, "must have a key 'keypoints'"),
        ("clicks", {"keypoints": [1, 2]}, "must be x, y, v for each, got [1, 2]"),
    ],
)
def test_a_prompt_that_is_none_is_named_with_its_annotation(
    kind: str, own: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.json", annotation(**own))
    with pytest.raises(DataError, match=re.escape(message)) as refused:
        read_prompts(path, kind)
    assert "annotation 1 of a.png" in str(refused.value)
