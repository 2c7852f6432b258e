"""Results of many images: kept one by one, taken up again under the same inputs, and sorted."""

import io
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.predictor import coco_masks
from storage.errors import DataError
from storage.outputs import coco_results
from storage.outputs.coco_results import (
    LOWEST_FIRST,
    KeptResults,
    attributes_of,
    write_dataset,
    write_list,
)
from storage.outputs.records import append_line, read_lines

SIGNATURE = {"weights": "a"}

UNCERTAINTY: dict[str, Any] = {
    "expected_iou": {"own": 0.7, "tiny": 0.6},
    "advice": {"gains": {"model": 0.1, "prompt": 0.2, "task": 0.0, "segmentation": 0.3}},
    "sam_score": 0.8,
    "caution": None,
}

ATTRIBUTES = {
    "expected_iou": 0.7,
    "gain_model": 0.1,
    "gain_prompt": 0.2,
    "gain_task": 0.0,
    "sam_score": 0.8,
}


def entries(image_id: int | str) -> list[dict[str, Any]]:
    return [{"image_id": image_id, "score": 0.7, "uncertainty": UNCERTAINTY}]


def written(kept: KeptResults, *image_ids: int | str) -> list[int | str]:
    return [entry["image_id"] for entry in kept.sorted_results(image_ids, None)]


def test_what_was_kept_is_written_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out" / "results.jsonl"
    kept = KeptResults(path, SIGNATURE)
    for image_id in (3, "x", 1):
        kept.keep(image_id, entries(image_id))
    assert [*kept.sorted_results([1, 2, "x"], None)] == [
        {**entry, "attributes": ATTRIBUTES} for entry in (*entries(1), *entries("x"))
    ]
    assert kept.results_of(2) == []
    kept.forget()
    assert not any(path.parent.iterdir())


@pytest.mark.parametrize("cut", [0, 1, 12, 40])
def test_a_killed_run_goes_on_after_the_last_whole_image(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    kept = KeptResults(path, SIGNATURE)
    two_masks = [result(score) for score in (0.1, 0.2)]
    kept.keep(1, entries(1))
    kept.keep(2, two_masks)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    again = KeptResults(path, SIGNATURE)
    assert 1 in again
    assert (2 in again) == (cut == 0)
    if cut:
        again.keep(2, two_masks)
    again.keep(3, [])
    for resumed in (again, KeptResults(path, SIGNATURE)):
        assert [entry["score"] for entry in resumed.sorted_results([1, 2, 3], None)] == [
            *(0.7, 0.1, 0.2)
        ]
        assert resumed.result(2, 1)["score"] == 0.2


def test_an_image_of_which_a_mask_was_damaged_is_not_done(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    kept = KeptResults(path, SIGNATURE)
    kept.keep(1, entries(1))
    kept.keep(2, [result(score) for score in (0.1, 0.2, 0.3)])
    kept.keep(3, entries(3))
    path.write_bytes(path.read_bytes().replace(b'"score": 0.2', b'"score": 0,2'))
    again = KeptResults(path, SIGNATURE)
    assert [image_id in again for image_id in (1, 2, 3)] == [True, False, True]


def test_work_from_other_inputs_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    KeptResults(path, SIGNATURE).keep(1, entries(1))
    assert 1 not in KeptResults(path, {"weights": "b"})
    # The file is that of the last inputs.
    assert 1 not in KeptResults(path, SIGNATURE)


def test_a_file_that_two_processes_begin_is_begun_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append_slowly(path: Path, line: Mapping[str, Any]) -> int:
        time.sleep(0.2)  # the other process has looked for the file meanwhile
        return append_line(path, line)

    monkeypatch.setattr(coco_results, "append_line", append_slowly)
    path = tmp_path / "masks.jsonl"

    def begin_and_keep(image_id: int) -> None:
        KeptResults(path, SIGNATURE).keep(image_id, entries(image_id))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(begin_and_keep, (1, 2)))
    assert sum("made_from" in line for line in read_lines(path)) == 1
    again = KeptResults(path, SIGNATURE)
    assert [again.results_of(i) for i in (1, 2)] == [
        [{**entry, "attributes": attributes_of(entry)} for entry in entries(i)] for i in (1, 2)
    ]


def test_a_file_of_another_kind_is_never_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "masks.jsonl"
    path.write_text('{"mine": 1}\n', "utf-8")
    with pytest.raises(DataError, match="must be a new file, or one that this command"):
        KeptResults(path, {"inputs": "new"})
    assert path.read_text("utf-8") == '{"mine": 1}\n'


def result(score: float, **uncertainty: Any) -> dict[str, Any]:  # noqa: ANN401 - as JSON has it
    return {"score": score, "uncertainty": UNCERTAINTY | uncertainty}


def test_what_is_not_known_of_a_mask_is_no_attribute() -> None:
    assert attributes_of(result(0.7)) == ATTRIBUTES
    alone = result(0.7, advice={"gains": {"prompt": 0.2}}, unlike_training=None)
    assert attributes_of(alone) == {"expected_iou": 0.7, "gain_prompt": 0.2, "sam_score": 0.8}
    assert attributes_of(result(0.7, unlike_training=0.25))["unlike_training"] == 0.25
    assert set(ATTRIBUTES) | {"unlike_training"} == set(LOWEST_FIRST)


def test_the_expected_iou_of_a_mask_is_its_score_and_not_that_of_its_proposal() -> None:
    assert attributes_of(result(0.9))["expected_iou"] == 0.9


@pytest.mark.parametrize(
    ("attribute", "order"), [("expected_iou", [2, 4, 1, 3]), ("gain_task", [3, 1, 4, 2])]
)
def test_masks_are_sorted_by_what_to_look_at_first(
    attribute: str, order: list[int], tmp_path: Path
) -> None:
    kept = KeptResults(tmp_path / "results.jsonl", SIGNATURE)
    gains = {1: {"task": 0.5}, 2: {}, 3: {"task": 0.9}, 4: {"task": 0.1}}
    scores = {1: 0.5, 2: 0.1, 3: 0.9, 4: 0.4}
    for image_id, masks in (("a", [4, 1]), ("b", [2, 3])):
        entries = [result(scores[i], advice={"gains": gains[i]}) | {"id": i} for i in masks]
        kept.keep(image_id, entries)
    sorted_results = kept.sorted_results(["a", "none", "b"], attribute)
    assert [entry["id"] for entry in sorted_results] == order
    assert not [*kept.sorted_results(["none"], attribute)]


def test_a_data_set_numbers_masks_and_leaves_out_empty_ones() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    results = [
        {
            "image_id": 7,
            "category_id": category,
            "segmentation": coco_masks.rle(own),
            "score": 0.5,
            "attributes": ATTRIBUTES,
            "uncertainty": UNCERTAINTY,
        }
        for category, own in ((3, mask), (3, mask & False), (9, mask))
    ]
    text = io.StringIO()
    assert write_dataset(text, [{"id": 7}], results, {3: "cat", 1: "dog"}) == 2
    first = {
        "id": 1,
        "image_id": 7,
        "category_id": 3,
        "iscrowd": 0,
        "segmentation": coco_masks.rle(mask),
        "area": 6,
        "bbox": [2, 1, 3, 2],
        "score": 0.5,
        "attributes": ATTRIBUTES,
    }
    assert json.loads(text.getvalue()) == {
        "info": {"contributor": "usam-cache"},
        "images": [{"id": 7}],
        "annotations": [first, first | {"id": 2, "category_id": 9}],
        "categories": [
            {"id": 1, "name": "dog"},
            {"id": 3, "name": "cat"},
            {"id": 9, "name": "9"},
        ],
    }


def test_an_empty_list_is_written_as_json() -> None:
    text = io.StringIO()
    assert (write_list(text, []), json.loads(text.getvalue())) == (0, [])
