"""Decisions on the disk: one writer, undos that name what they take back, lines of any content."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.predictor import coco_masks
from stages.review.decisions import Decision, Decisions, one_writer
from storage.errors import DataError
from storage.outputs.records import append_line, read_lines
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.reviews import MADE_FROM

KEEP = {"image_id": 1, "mask": 0, "decision": "keep"}


def test_an_undo_takes_back_the_decision_that_it_names_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    first = Decisions(path, MADE_FROM)
    first.add((1, 5), Decision("keep"))
    second = Decisions(path, MADE_FROM)
    second.add((1, 5), Decision("remove"))
    assert first.undo([(1, 5)]) == (1, 5)
    assert dict(Decisions(path, MADE_FROM)) == {(1, 5): Decision("remove")}


def test_a_decision_that_two_processes_take_back_is_taken_back_once(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    first = Decisions(path, MADE_FROM)
    first.add((1, 0), Decision("skip"))
    first.add((1, 0), Decision("keep"))
    second = Decisions(path, MADE_FROM)
    assert first.undo([(1, 0)]) == second.undo([(1, 0)]) == (1, 0)
    again = Decisions(path, MADE_FROM)
    assert dict(again) == {(1, 0): Decision("skip")}
    (fault,) = again.faults
    assert fault.startswith(f'{path}: line 6 must take a decision back, got b\'{{"image_id": 1')


def test_a_file_that_is_removed_meanwhile_is_written_again_with_its_inputs(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    decisions = Decisions(path, MADE_FROM)
    decisions.add(("a", 0), Decision("keep"))
    decisions.add(("a", 1), Decision("remove"))
    path.unlink()
    assert decisions.undo({("a", 1)}) == ("a", 1)
    path.unlink()
    decisions.add(("a", 2), Decision("skip"))
    again = Decisions(path, MADE_FROM)
    assert [*again] == [*decisions] == [(("a", 0), Decision("keep")), (("a", 2), Decision("skip"))]
    assert not again.faults
    with pytest.raises(DataError, match="made under other inputs"):
        Decisions(path, {"weights": "other"})


def test_lines_without_ids_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    redraw = KEEP | {"decision": "redraw", "segmentation": None, "expected_iou": None}
    undo = {"image_id": 1, "mask": 0, "decision": None}
    other = KEEP | {"mask": 1}
    for line in ({"made_from": MADE_FROM}, KEEP, redraw, other, undo):
        append_line(path, line)
    decisions = Decisions(path, MADE_FROM)
    assert (dict(decisions), decisions.faults) == (
        {(1, 0): Decision("keep"), (1, 1): Decision("keep")},
        [],
    )
    assert [decisions.undo([(1, 0)]) for _ in range(2)] == [(1, 0), None]
    assert dict(Decisions(path, MADE_FROM)) == {(1, 1): Decision("keep")}


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "maybe"},
        {"image_id": [1]},
        {"mask": "0"},
        {"mask": -1},
        {"expected_iou": float("nan")},
        {"segmentation": {"size": [2, 2], "counts": "9"}},
        {"segmentation": {"size": [2], "counts": "4"}},
    ],
)
def test_a_line_that_is_no_decision_is_named_and_all_others_count(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "decisions.jsonl"
    for line in ({"made_from": MADE_FROM}, KEEP, KEEP | fields, KEEP | {"mask": 2, "by": "Ann"}):
        append_line(path, line)
    decisions = Decisions(path, MADE_FROM)
    assert dict(decisions) == {(1, 0): Decision("keep"), (1, 2): Decision("keep")}
    (fault,) = decisions.faults
    assert fault.startswith(f"{path}: line 4 must be a decision, got b'")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*KEEP, "id", "x"]), inner),
)

LINES = st.lists(st.binary() | st.builds(lambda value: json.dumps(value).encode(), JSON))


@given(before=LINES, after=LINES)
def test_no_content_of_a_file_of_decisions_ends_a_review_or_hides_a_decision(
    before: list[bytes], after: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "decisions.jsonl"
    path.write_bytes(b"\n".join([*before, b""]))
    Decisions(path, MADE_FROM).add(("a", 7), Decision("redraw"))
    with path.open("ab") as file:
        file.write(b"\n".join([b"", *after]))
    append_line(path, KEEP)
    assert {("a", 7): Decision("redraw"), (1, 0): Decision("keep")}.items() <= dict(
        Decisions(path, MADE_FROM)
    ).items()


def test_a_replacing_mask_is_read_as_it_was_decided(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    decision = Decision("clicked", coco_masks.rle(np.eye(3, dtype=bool)), 0.5)
    Decisions(path, MADE_FROM).add((1, 0), decision)
    assert dict(Decisions(path, MADE_FROM)) == {(1, 0): decision}


HOLDER = """
import sys, time
from pathlib import Path
from stages.review.decisions import one_writer
with one_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_writer_is_refused_with_the_holder_and_a_kill_leaves_no_lock(
    tmp_path: Path,
) -> None:
    path = tmp_path / "review" / "decisions.jsonl"
    command = [sys.executable, "-c", HOLDER, str(path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        words = rf"one writer, got a second while process {holder.pid} on {os.uname().nodename} "
        with pytest.raises(DataError, match=words), one_writer(path):
            pass
        with one_writer(path.with_name("decisions-1-of-2.jsonl")):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with one_writer(path):
        pass


def test_a_disk_without_locks_is_noted_and_reviewed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", absent)
    path = tmp_path / "decisions.jsonl"
    with one_writer(path):
        Decisions(path, MADE_FROM).add((1, 0), Decision("keep"))
    assert len(read_lines(path)) == 2
    assert capsys.readouterr().err == (
        f"note: {path}.lock must lie on a disk with locks to refuse a second review of these "
        "masks, got: No locks available\n"
    )
