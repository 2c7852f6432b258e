"""The queue of a review: its order, its decisions on the disk, and the COCO file of its masks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from cvat_sdk.masks import decode_mask
from pycocotools.coco import COCO

from pipeline.predictor import coco_masks
from stages.annotation.label_studio import brush_rle
from stages.review.decisions import Decision, Decisions
from stages.review.export import export_queue
from stages.review.queue import ReviewQueue
from stages.settings.parsing import ParamsError
from storage.datasets.coco import compress_polygons
from storage.errors import DataError
from storage.outputs.records import read_lines
from storage.rle import decode_rle
from tests.fixtures.reviews import MADE_FROM, written_queue

BOX_NAMES: Final = ("left", "top", "width", "height")

IOUS = ([0.9, 0.2], [0.5], [0.2, 0.7])


def shown(queue: ReviewQueue) -> list[tuple[int | str, float]]:
    candidates = map(queue.candidate, range(len(queue)))
    return [(candidate.image.image_id, candidate.entry["score"]) for candidate in candidates]


def test_the_lowest_expected_iou_comes_first(tmp_path: Path) -> None:
    queue = written_queue(tmp_path, *IOUS)
    assert shown(queue) == [(1, 0.2), (3, 0.2), (2, 0.5), (3, 0.7), (1, 0.9)]
    assert queue.next_after(-1) == 0
    assert queue.neighbours(0) == [0, 1, 2, 3, 4]


def test_skipped_masks_come_again_after_all_others_and_undo_takes_back(tmp_path: Path) -> None:
    queue = written_queue(tmp_path, *IOUS)
    for rank, decision in enumerate(["keep", "skip", "redraw", "skip"]):
        assert queue.next_after(rank - 1) == rank
        queue.decide(rank, Decision(decision))
    assert (queue.n_decided("skip"), queue.remaining.n_masks) == (2, 3)
    queue.decide(4, Decision("keep"))
    assert (queue.next_after(4), queue.next_after(1), queue.next_after(3)) == (1, 3, 1)
    queue.decide(1, Decision("remove"))
    assert queue.undo() == 1
    assert queue.candidate(1).decision == Decision("skip")
    assert [queue.undo() for _ in range(6)] == [4, 3, 2, 1, 0, None]
    assert queue.remaining.n_masks == 5


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_after_a_kill_at_most_the_last_decision_is_missing(cut: int, tmp_path: Path) -> None:
    queue = written_queue(tmp_path, *IOUS)
    for rank in range(3):
        queue.decide(rank, Decision("keep"))
    queue.undo()
    queue.decide(2, Decision("redraw"))
    path = tmp_path / "decisions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    again = written_queue(tmp_path, *IOUS)
    assert again.is_reviewed.tolist() == [True, True, cut == 0, False, False]
    again.decide(2, Decision("redraw"))
    assert written_queue(tmp_path, *IOUS).candidate(2).decision == Decision("redraw")
    assert again.neighbours(3) == [*([1, 2] if cut else [2]), 3, 4]


def test_decisions_about_masks_of_other_inputs_are_refused_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    Decisions(path, MADE_FROM).add((1, 0), Decision("keep"))
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"made under other inputs \(weights: a -> b\): name"):
        Decisions(path, {"weights": "b"})
    assert path.read_bytes() == before


def test_a_file_whose_decisions_were_all_taken_back_is_begun_for_other_inputs(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "decisions.jsonl", {"weights": "b"}
    decisions = Decisions(path, MADE_FROM)
    decisions.add((1, 0), Decision("keep"))
    decisions.undo([(1, 0)])
    Decisions(path, other).add((1, 1), Decision("redraw"))
    assert dict(Decisions(path, other)) == {(1, 1): Decision("redraw")}
    with pytest.raises(DataError, match=r"made under other inputs \(weights: b -> a\)"):
        Decisions(path, MADE_FROM)


@pytest.mark.parametrize("form", ["coco", "cvat", "label-studio"])
def test_an_empty_mask_is_exported_only_if_another_replaced_it(form: str, tmp_path: Path) -> None:
    queue = written_queue(tmp_path, [0.9, 0.0], [0.0])
    assert [queue.candidate(rank).is_empty for rank in range(3)] == [True, True, False]
    assert export_queue(tmp_path / "queue", queue, form) == 1
    queue.decide(1, Decision("clicked", queue.candidate(2).segmentation, 0.5))
    assert export_queue(tmp_path / "queue", queue, form) == 2


@pytest.mark.parametrize("as_polygons", [False, True])
def test_the_coco_file_has_masks_and_decisions_in_the_order_of_the_queue(
    as_polygons: bool, tmp_path: Path
) -> None:
    queue = written_queue(tmp_path, *IOUS)
    other = np.zeros((192, 256), bool)
    other[100:140, 100:180] = True
    queue.decide(0, Decision("proposal", coco_masks.rle(other), 0.6))
    queue.decide(1, Decision("remove"))
    queue.decide(2, Decision("skip"))
    path = tmp_path / "reviewed.json"
    assert export_queue(path, queue, as_polygons=as_polygons) == 4
    coco = COCO(str(path))
    annotations = coco.loadAnns(coco.getAnnIds())
    assert [_summary(annotation) for annotation in annotations] == [
        (1, 0.6, True, "proposal"),
        (2, 0.5, False, "skip"),
        (3, 0.7, False, ""),
        (1, 0.9, False, ""),
    ]
    segmentation = annotations[0]["segmentation"]
    assert isinstance(segmentation, list) == as_polygons
    counts = compress_polygons(segmentation, 192, 256) if as_polygons else segmentation["counts"]
    np.testing.assert_array_equal(decode_rle(counts, 192, 256), other)
    assert coco.cats == {1: {"id": 1, "name": "shape"}}
    assert [image["file_name"] for image in coco.loadImgs([1, 2, 3])] == [
        f"{k}.png" for k in (1, 2, 3)
    ]


def reviewed_queue(folder: Path) -> tuple[ReviewQueue, np.ndarray, np.ndarray]:
    """A queue with decisions, the mask of the queue, and the mask that a person took once."""
    queue = written_queue(folder, *IOUS)
    other = np.zeros((192, 256), bool)
    other[100:140, 100:180] = True
    other[110:120, 120:130] = False
    queue.decide(0, Decision("proposal", coco_masks.rle(other), 0.6))
    queue.decide(1, Decision("remove"))
    queue.decide(2, Decision("redraw"))
    return queue, queue.candidate(2).mask, other


def test_cvat_gets_images_and_masks_in_the_order_of_the_queue(tmp_path: Path) -> None:
    queue, own, other = reviewed_queue(tmp_path)
    path = tmp_path / "queue.xml"
    assert export_queue(path, queue, "cvat") == 4
    root = ET.parse(path).getroot()  # noqa: S314 - written here
    assert [(image.get("id"), image.get("name")) for image in root.iter("image")] == [
        *(("0", "1.png"), ("1", "3.png"), ("2", "2.png"))
    ]
    expected = [[other, own], [own], [own]]
    for image, masks in zip(root.iter("image"), expected, strict=True):
        for element, mask in zip(image.iter("mask"), masks, strict=True):
            x, y, width, height = (int(element.attrib[n]) for n in BOX_NAMES)
            runs = [int(run) for run in element.attrib["rle"].split(",")]
            points = [*runs, x, y, x + width - 1, y + height - 1]
            decoded = decode_mask(points, image_width=256, image_height=192)
            np.testing.assert_array_equal(decoded, mask)
            assert element.get("label") == "shape"
    first, second = (
        {attribute.get("name"): attribute.text for attribute in mask.iter("attribute")}
        for mask in [*root.iter("mask")][::2][:2]
    )
    assert (first["expected_iou"], first["decision"], first["reviewed"]) == (
        *("0.6000", "proposal", "true"),
    )
    assert (second["expected_iou"], second["reviewed"]) == ("0.7000", "false")


def test_label_studio_gets_tasks_and_regions_in_the_order_of_the_queue(tmp_path: Path) -> None:
    queue, own, other = reviewed_queue(tmp_path)
    path = tmp_path / "tasks.json"
    assert export_queue(path, queue, "label-studio") == 4
    tasks = json.loads(path.read_text("utf-8"))
    assert [task["data"]["image"] for task in tasks] == [
        f"/data/local-files/?d=images/{number}.png" for number in (1, 3, 2)
    ]
    predictions = [prediction for task in tasks for prediction in task["predictions"]]
    assert [prediction["score"] for prediction in predictions] == [0.6, 0.7, 0.5]
    assert [[region["score"] for region in prediction["result"]] for prediction in predictions] == [
        *([0.6, 0.9], [0.7], [0.5])
    ]
    region, *_ = predictions[0]["result"]
    assert region["value"]["rle"] == brush_rle(other)
    assert (region["value"]["brushlabels"], region["meta"]["text"]) == (["shape"], ["proposal"])
    assert (region["from_name"], region["to_name"]) == ("label", "image")
    assert predictions[0]["result"][1]["value"]["rle"] == brush_rle(own)
    assert "meta" not in predictions[0]["result"][1]


def test_a_replacing_mask_has_no_numbers_of_the_mask_that_it_replaces(tmp_path: Path) -> None:
    queue = written_queue(tmp_path, [0.9])
    own = queue.candidate(0)
    of_mask = {"sam_score": 0.8, "gain_prompt": 0.2}
    rest = {"unlike_training": 0.5, "expected_iou": 0.9, "reviewed": False, "decision": ""}
    assert own.attributes == of_mask | rest
    queue.decide(0, Decision("clicked", own.segmentation, 0.7))
    decided = {"expected_iou": 0.7, "reviewed": True, "decision": "clicked"}
    assert queue.candidate(0).attributes == rest | decided


def test_frames_of_videos_are_written_as_coco_alone(tmp_path: Path) -> None:
    queue = written_queue(tmp_path, [0.5])
    (image,) = queue.source.prompted
    frame = replace(image, image=replace(image.image, file="a.mp4#00008"))
    queue.source = replace(queue.source, prompted=[frame])
    with pytest.raises(ParamsError, match="format must be coco for frames of videos, got cvat"):
        export_queue(tmp_path / "queue.xml", queue, "cvat")


def test_a_form_without_a_writer_writes_no_file(tmp_path: Path) -> None:
    queue, path = written_queue(tmp_path, [0.5]), tmp_path / "queue.txt"
    with pytest.raises(KeyError, match="yolo"):
        export_queue(path, queue, "yolo")
    assert not path.exists()


def _summary(annotation: dict[str, Any]) -> tuple[object, ...]:
    attributes = annotation["attributes"]
    assert annotation["score"] == attributes["expected_iou"]
    return (
        annotation["image_id"],
        attributes["expected_iou"],
        attributes["reviewed"],
        attributes["decision"],
    )


def test_two_reviewers_have_files_of_their_own_and_read_each_other_s(tmp_path: Path) -> None:
    first = Decisions(tmp_path / "decisions-1-of-2.jsonl", MADE_FROM)
    first.add((1, 0), Decision("keep"))
    both = Decisions(tmp_path / "decisions.jsonl", MADE_FROM, [first.path])
    both.add((2, 0), Decision("redraw"))
    assert dict(both) == {(1, 0): Decision("keep"), (2, 0): Decision("redraw")}
    keys = [(1, 0), (2, 0)]
    assert (both.undo(keys), both.undo(keys)) == ((2, 0), None)
    assert len(read_lines(both.path)) == 3
