"""``usam fill``: processes share the work, and ``extract`` finds it done."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, cast

import pytest
import yaml

from stages import extract
from stages.filling import pool
from stages.filling.cell import job_on
from stages.filling.choice import choose_names
from stages.filling.job import prepared as prepared_split
from stages.filling.pool import Filling
from stages.filling.worker import fill_shown
from stages.settings.blocks import ExecutorParams
from stages.settings.params import read_params
from stages.settings.versions import VERSIONS
from storage.cell import marked as marks_of
from storage.cell.claims import Claims
from storage.cell.marked import UNDONE, MarkedShards
from storage.cell.rates import keep_rates
from storage.errors import StoreError
from storage.files.manifest import FileRecord, record_of
from storage.paths import CACHE, WORK
from storage.store.marks import Mark, load_mark
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.extract_project import (
    CELL,
    IMAGES,
    SPLIT,
    done_shards,
    encoded_images,
    outputs,
    prepare_splits,
    run,
    write_params,
)
from tests.fixtures.fill_command import (
    N_SHARDS,
    NAME,
    SHARD_OBJECTS,
    START_S,
    fill,
    job_of,
    once_encoding,
    receipts,
    set_executor,
    started,
    wait_for_shards,
)
from tests.fixtures.settings import write_versions


def test_what_is_filled_is_published_without_torch(wanted: dict[str, bytes]) -> None:
    status, said, _ = fill(NAME)
    assert (status, said) == (
        0,
        f"filled {N_SHARDS} shards of 1 cell; `dvc repro` publishes them\n",
    )
    assert not outputs()
    program = (
        "import sys; from stages.extract import main; main();"
        "print(sorted({'torch', 'sam2', 'dask', 'distributed'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *CELL],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "[]\n"
    assert outputs() == wanted
    assert fill(NAME) == (0, "nothing is missing of 1 cell\n", "")


def test_parts_of_a_job_array_make_the_whole(wanted: dict[str, bytes]) -> None:
    seen: list[set[int]] = []
    for number in (1, 2, 3):
        before = set(done_shards())
        assert fill(NAME, "--shard-range", f"{number}/3")[0] == 0
        seen.append(set(done_shards()) - before)
    assert [len(some) for some in seen] == [3, 2, 2]
    run(extract, *CELL)
    assert outputs() == wanted


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("0/3", "--shard-range must be 1/N to N/N, got '0/3'"),
        ("4/3", "--shard-range must be 1/N to N/N, got '4/3'"),
        ("a", "--shard-range must be I/N, such as 3/8, got 'a'"),
    ],
)
def test_a_part_that_is_none(part: str, message: str) -> None:
    assert fill("--shard-range", part) == (1, "", f"error: {message}\n")


def test_a_pattern_that_matches_no_cell() -> None:
    status, _, said = fill("nowhere/*")
    assert status == 1
    assert said == "error: GLOB must match a cell, such as drawn/tiny/identity, got 'nowhere/*'\n"


def test_a_dry_run_says_what_is_missing_and_why() -> None:
    status, said, _ = fill("--dry-run", f"{SPLIT}/tiny/*")
    assert status == 0
    headings, row = said.splitlines()
    assert headings.split() == [
        "split", "cells", "which", "shards", "objects", "bytes", "seconds", "why",
    ]  # fmt: skip
    assert row.split()[:5] == ["drawn", "3", "of", "3", "all"]
    assert row.endswith("unknown  missing")
    assert not CACHE.joinpath("work").exists()
    fill(NAME, "--shard-range", "1/2")
    _, said, _ = fill("--dry-run", f"{SPLIT}/tiny/*")
    assert "4 of 7 shards done" in said
    assert "unknown" not in said, "the receipts tell how long an object takes"
    write_params(precision="bf16", shard_objects=SHARD_OBJECTS)
    fill(NAME)
    run(extract, *CELL)
    write_params(shard_objects=SHARD_OBJECTS)
    _, said, _ = fill("--dry-run", f"{SPLIT}/tiny/vflip", NAME)
    assert "4 of 7 shards done" in said


def test_a_dry_run_knows_the_seconds_of_work_that_is_gone() -> None:
    fill(NAME)
    assert "unknown" not in fill("--dry-run", f"{SPLIT}/tiny/vflip")[1]
    (work,) = (WORK / SPLIT / "tiny" / "identity").iterdir()
    keep_rates(work, WORK)  # as its sweep does
    shutil.rmtree(work)
    _, said, noted = fill("--dry-run", f"{SPLIT}/tiny/vflip")
    assert "unknown" not in said
    assert noted.startswith("note: seconds are those of one process on ")


def test_rows_are_computed_under_the_version_of_the_code_alone() -> None:
    version = VERSIONS["extract"]
    write_versions(Path(), extract=version - 1)
    status, _, said = fill(NAME)
    assert status == 1
    assert said.endswith(
        f"versions.yaml: extract must be {version}, the version of what this code computes, got "
        f"{version - 1}\n"
    )
    assert done_shards() == []


def test_an_image_that_cannot_be_read_keeps_no_other_cell_from_being_done() -> None:
    (IMAGES / "small.png").write_bytes(b"no image")
    prepare_splits()
    status, _, said = fill(f"{SPLIT}/tiny/*")
    assert status == 1
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert [error.split(": ")[1] for error in errors] == [
        f"{SPLIT}/tiny/{view}" for view in ("gnoise", "identity", "vflip")
    ]
    assert "small.png must be a readable image" in errors[0]
    assert 0 < len(done_shards()) < N_SHARDS


def test_a_worker_of_other_versions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    params = read_params()
    (name,) = choose_names([NAME], params)
    split = prepared_split(SPLIT, SHARD_OBJECTS)
    job = job_on("cpu", name, params.splits[SPLIT], params.extract, split)
    assert "torch_version" in job.signature  # as it travels
    monkeypatch.setattr("stages.filling.job.versions", lambda *_: {"torch_version": "0.1"})
    with pytest.raises(
        StoreError, match=r"by the versions that asked for it, got others .*0\.1 ->"
    ):
        fill_shown(job, (0,))
    assert not done_shards()


def test_a_changed_image_is_missing_from_a_published_cell() -> None:
    run(extract, *CELL)
    with (IMAGES / "small.png").open("ab") as file:
        file.write(b"\0")
    prepare_splits()
    status, said, _ = fill("--dry-run", NAME)
    assert status == 0
    assert said.splitlines()[-1].split("  ")[-1].endswith("shards done")
    shutil.rmtree(CACHE / "work")
    assert fill("--dry-run", NAME)[1].rstrip().endswith("other images")


def test_a_shard_that_lost_a_file_is_named_and_computed_again(wanted: dict[str, bytes]) -> None:
    fill(NAME)
    (lost,) = CACHE.glob("work/*/*/*/*/features.zarr/iou/c.1.*")
    lost.unlink()
    status, said, noted = fill(NAME)
    assert (status, said[:15]) == (0, "filled 1 shard ")
    note = f"note: shard 1 of {NAME} is extracted again: features.zarr/iou/{lost.name} is missing"
    assert noted.splitlines()[0] == note
    run(extract, *CELL)
    assert outputs() == wanted


def test_a_split_that_was_prepared_under_other_settings_is_refused() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    params["splits"][SPLIT]["max_objects"] = 3
    Path("params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    wanted = (
        f"error: cache/objects/{SPLIT}.zarr was written under other inputs (max_objects: all -> 3)"
        f"; `dvc repro prepare@{SPLIT}` makes it\n"
    )
    assert fill(NAME) == (1, "", wanted)
    assert fill("--dry-run", NAME) == (1, "", wanted)
    prepare_splits()
    assert fill(NAME)[0] == 0


def test_what_another_process_did_meanwhile_is_counted_as_its(wanted: dict[str, bytes]) -> None:
    def do_the_last() -> None:
        assert fill_shown(job_of(NAME), (N_SHARDS - 1,)).n_made == 1

    with once_encoding(do_the_last):
        status, said, _ = fill(NAME)
    counts = f"filled {N_SHARDS - 1} shards of 1 cell, other processes 1"
    assert (status, said) == (0, f"{counts}; `dvc repro` publishes them\n")
    run(extract, *CELL)
    assert outputs() == wanted


def test_a_receipt_counts_what_was_computed_not_what_was_copied() -> None:
    fill(NAME)
    n_objects = prepared_split(SPLIT, SHARD_OBJECTS).table.n_objects
    assert sum(one.n_objects for one in receipts()) == n_objects
    write_params(shard_objects=2 * SHARD_OBJECTS)
    with encoded_images() as seen:
        fill(NAME)
    n_computed = sum(one.n_objects for one in receipts())
    assert n_computed < n_objects, "images that lie in one shard as before are copied"
    assert (n_computed > 0) == bool(seen)
    assert {one.n_objects > 0 for one in receipts()} == {one.seconds > 0 for one in receipts()}


def test_marks_that_show_late_are_looked_for_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = job_of(NAME)
    some = Filling.of(job, prepared_split(SPLIT, SHARD_OBJECTS))
    slept: list[float] = []
    monkeypatch.setattr(pool, "_run", lambda *_: False)
    monkeypatch.setattr(Filling, "todo", lambda *_: [] if len(slept) == 9 else [0])
    monkeypatch.setattr("time.sleep", slept.append)
    pool.fill([some], ExecutorParams())
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]


def test_a_shard_is_read_once_to_be_published(monkeypatch: pytest.MonkeyPatch) -> None:
    fill(NAME)
    read: list[Path] = []

    def spied(path: Path) -> FileRecord:
        read.append(path)
        return record_of(path)

    monkeypatch.setattr(marks_of, "record_of", spied)
    run(extract, *CELL)
    assert len(read) == len(set(read)) > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.slow
def test_stopped_by_a_batch_system_it_keeps_its_shards_and_may_be_started_again(
    wanted: dict[str, bytes], number: signal.Signals
) -> None:
    with started(NAME) as process:
        wait_for_shards(1)
        process.send_signal(number)
        _, said = process.communicate(timeout=START_S)
    assert process.returncode == 0, said
    assert f"stopped by {number.name}: finished shards are kept in cache/work" in said
    assert len(done_shards()) < N_SHARDS
    assert not list(CACHE.rglob("claims/*.json"))
    assert fill(NAME)[0] == 0
    run(extract, *CELL)
    assert outputs() == wanted


def marked() -> dict[Path, int]:
    """Marks of shards, each a file that another one would replace."""
    return {path: path.stat().st_ino for path in marks()}


ANOTHER_HOST: Final = """
import socket, sys
from functools import partial
socket.gethostname = lambda: "another"
from stages.cli.app import app
from stages.filling import pool
from storage.cell.claims import BEAT_S, Watch
pool.Watch = partial(Watch, silent_s=1.5 * BEAT_S)
app(sys.argv[1:])
"""
"""``usam`` on another host, which cannot know who lives on this one, with less patience."""


@pytest.mark.slow
@pytest.mark.parametrize("program", [None, ANOTHER_HOST], ids=["one_host", "two_hosts"])
def test_processes_that_are_killed_cost_no_more_than_their_shards(
    wanted: dict[str, bytes], program: str | None
) -> None:
    before: dict[Path, int] = {}
    for n_shards in (1, 3):
        with started(NAME) as one, started(NAME, program=program) as other:
            wait_for_shards(n_shards)
            one.kill()
            if n_shards == 1:
                other.kill()
            one.communicate()
            other.communicate()
        assert marked().items() >= before.items(), "what was done is not done again"
        before = marked()
    assert other.returncode == 0
    assert done_shards() == list(range(N_SHARDS))
    hosts = {receipt.writer.host for receipt in receipts()}
    assert ("another" in hosts) == (program is not None)
    run(extract, *CELL)
    assert outputs() == wanted


@pytest.mark.slow
def test_processes_of_this_machine_give_the_bytes_of_one(wanted: dict[str, bytes]) -> None:
    set_executor(kind="local", n_workers=2)
    run(extract, *CELL)
    assert outputs() == wanted
    makers = {mark.read_text().split('"pid": ')[1].split(",")[0] for mark in marks()}
    assert len(makers) == 2


def marks() -> list[Path]:
    return list(CACHE.glob("work/*/*/*/*/marks/*.json"))


def test_only_own_shards_are_looked_at_and_those_that_are_whole_once(
    wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wanted
    fill(NAME, "--shard-range", "1/2")
    job, split = job_of(NAME), prepared_split(SPLIT, SHARD_OBJECTS)
    looked: list[int] = []

    def load(folder: Path, shard: int) -> Mark | None:
        looked.append(shard)
        return load_mark(folder, shard)

    monkeypatch.setattr(marks_of, "load_mark", load)
    others = Filling(job, split, job.marked(split), frozenset({0, 1, 2, 3}))
    monkeypatch.setattr(job.marked(split).__class__, "kinds", lambda _: set())
    monkeypatch.setattr("time.sleep", lambda _: None)
    rounds = iter([True, False])

    def run(ready: object, _: object) -> bool:
        if not next(rounds):
            others.given_up |= {1, 3}
        looked.append(-1)
        assert ready == {others: [1, 3]}
        return True

    monkeypatch.setattr(pool, "_run", run)
    pool.fill([others], ExecutorParams())
    assert looked == [0, 1, 2, 3, -1, 1, 3, -1]


def test_what_others_are_at_is_waited_for_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    job, split = job_of(NAME), prepared_split(SPLIT, SHARD_OBJECTS)
    some = Filling(job, split, job.marked(split), frozenset({2}))
    with Claims(some.marked.folder) as claims, ThreadPoolExecutor(1) as other:
        assert claims.take(2)
        filled = other.submit(pool.fill, [some], ExecutorParams())
        end = time.monotonic() + START_S
        while "note: waiting for 1 shard of others\n" not in (said := capsys.readouterr().err):
            assert not said
            assert time.monotonic() < end
            time.sleep(0.01)
        some.given_up.add(2)
        filled.result()


def test_what_is_lacking_of_many_shards_is_told_at_once() -> None:
    class Undone:
        def lacking(
            self, _: list[str], *, among: Collection[int], sizes_only: bool
        ) -> dict[int, str]:
            assert sizes_only
            return dict.fromkeys(among, UNDONE)

    n_shards = 50_000
    job, split = job_of(NAME), prepared_split(SPLIT, SHARD_OBJECTS)
    many = Filling(job, split, cast("MarkedShards", Undone()), frozenset(range(n_shards)))
    started = time.process_time()
    assert many.todo() == list(range(n_shards))
    assert time.process_time() - started < 1
