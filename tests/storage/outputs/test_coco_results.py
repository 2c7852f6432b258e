"""Results of many images: kept one by one, and taken up again under the same inputs."""

import json
from pathlib import Path

import pytest

from storage.outputs.coco_results import KeptResults

SIGNATURE = {"weights": "a"}


def entries(image_id: int | str) -> list[dict[str, object]]:
    return [{"image_id": image_id, "score": 0.5}]


def test_what_was_kept_is_written_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out" / "results.json"
    kept = KeptResults(path, SIGNATURE)
    for image_id in (3, "x", 1):
        kept.keep(image_id, entries(image_id))
    assert not path.exists()
    assert kept.write(path, [1, 2, "x"]) == 2
    assert json.loads(path.read_text()) == [*entries(1), *entries("x")]
    kept.forget()
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


@pytest.mark.parametrize("cut", [0, 1, 12])
def test_a_killed_run_goes_on_after_the_last_whole_line(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    kept = KeptResults(path, SIGNATURE)
    for image_id in (1, 2):
        kept.keep(image_id, entries(image_id))
    work = tmp_path / "results.json.work"
    whole = work.read_bytes()
    work.write_bytes(whole[: len(whole) - cut])
    again = KeptResults(path, SIGNATURE)
    assert 1 in again
    assert (2 in again) == (cut == 0)
    if cut:
        again.keep(2, entries(2))
    assert KeptResults(path, SIGNATURE).write(path, [1, 2]) == 2
    assert work.read_bytes() == whole


def test_work_from_other_inputs_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    KeptResults(path, SIGNATURE).keep(1, entries(1))
    assert 1 not in KeptResults(path, {"weights": "b"})
    # The file is that of the last inputs.
    assert 1 not in KeptResults(path, SIGNATURE)


def test_a_file_that_is_none_of_ours_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "results.json.work").write_bytes(b"\xff\xfe[\n")
    assert 1 not in KeptResults(tmp_path / "results.json", SIGNATURE)
