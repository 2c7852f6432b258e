"""``usam fill``: processes share the work, and ``extract`` finds it done."""

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Final
from unittest.mock import Mock

import numpy as np
import pytest

from stages import extract
from stages.cli.fill import choose, choose_names
from stages.executor.tasks import Failure, Task
from stages.filling import fill_cells as fill_module
from stages.filling.shards import fill_part
from stages.settings.params import read_params
from storage.errors import StoreError
from storage.paths import CACHE, POOL
from storage.pool.cell import NPZ
from storage.pool.publishing import DamagedShardsError
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.extract_project import (
    CELL,
    IMAGES,
    SPLIT,
    done_shards,
    encoded_images,
    flip,
    images_without,
    outputs,
    pool_of,
    refused,
    run,
)
from tests.fixtures.fill_command import (
    ENDING,
    FILL,
    N_SHARDS,
    NAME,
    SHARD_OBJECTS,
    START_S,
    at_last_piece,
    fill,
    plan,
    set_executor,
    started,
    wait_for_shards,
)

WHOLE: Final = (
    "every shard of 1 cell is there; `dvc repro` reads and publishes them, `usam cache verify` "
    "reads what is published\n"
)


def test_what_is_filled_is_published_without_torch(wanted: dict[str, bytes]) -> None:
    status, printed, _ = fill(NAME)
    assert (status, printed) == (
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
    assert fill(NAME) == (0, WHOLE, "")


CELLS: Final = [NAME, f"{SPLIT}/tiny/vflip"]


def parts(of: int) -> list[set[tuple[str, str]]]:
    """Cell and name of each shard of each part, of some cells."""
    params = read_params()
    names = choose_names(CELLS, params)
    chosen = [choose(names, params, (number, of)) for number in range(1, of + 1)]
    return [
        {(str(cell), shard) for cell, shards in wanted.items() for shard in shards}
        for wanted in chosen
    ]


@pytest.mark.no_cover
def test_parts_are_disjoint_cover_all_and_stay_the_same_while_shards_appear() -> None:
    n_shards = N_SHARDS * len(CELLS)
    before = {of: parts(of) for of in (1, 2, 5, n_shards + 2)}
    for of, chosen in before.items():
        sizes = [len(shard_range) for shard_range in chosen]
        assert sum(sizes) == len(set().union(*chosen)) == n_shards
        assert max(sizes) - min(sizes) <= 1
        assert len(chosen) == of
    assert fill(NAME, "--shard-range", "2/3")[0] == 0
    assert parts(5) == before[5]


@pytest.mark.no_cover
def test_a_part_says_that_other_parts_are_missing_until_they_are_there() -> None:
    n_own = len(range(0, N_SHARDS, 2))
    others = (
        f"; {N_SHARDS - n_own} shards of other parts were missing: `usam fill` of these parts "
        "computes them, or `dvc repro`\n"
    )
    first, again = (fill(NAME, "--shard-range", "1/2")[1] for _ in range(2))
    assert first == f"filled {n_own} shards of 1 cell{others}"
    assert again == f"every shard of part 1/2 is there{others}"
    _, printed, _ = fill(NAME, "--shard-range", "2/2")
    assert printed == (f"filled {N_SHARDS - n_own} shards of 1 cell; `dvc repro` publishes them\n")
    assert fill(NAME, "--shard-range", "1/2") == (0, WHOLE, "")


@pytest.mark.parametrize("shard_range", ["0/3", "4/3", "a"])
def test_a_range_that_is_none_is_refused(shard_range: str) -> None:
    message = f"--shard-range must be 1/N to N/N, such as 3/8, got '{shard_range}'"
    assert fill("--shard-range", shard_range) == (1, "", f"error: {message}\n")


def test_a_pattern_that_matches_no_cell() -> None:
    status, _, printed = fill("nowhere/*")
    assert status == 1
    assert (
        printed == "error: GLOB must match a cell, such as drawn/tiny/identity, got 'nowhere/*'\n"
    )


def test_the_plan_says_what_is_missing_and_why() -> None:
    before = set(CACHE.rglob("*"))
    headings, row, *_ = plan().splitlines()
    assert headings.split() == [
        *("split", "cells", "which", "shards", "images", "objects", "predictions"),
        *("features", "masks", "why"),
    ]
    assert row.split()[:5] == ["drawn", "12", "of", "12", "all"]
    assert row.endswith("  missing")
    assert set(CACHE.rglob("*")) == before
    fill(NAME, "--shard-range", "1/2")
    assert "4 of 7 shards done" in plan()


def test_a_worker_of_other_versions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch_version": "0.1"}
    monkeypatch.setattr("stages.filling.shards.library_versions", lambda *_: versions)
    with pytest.raises(StoreError, match=r"under the versions of the stage, got others .*0\.1 ->"):
        fill_part(pool_of().part(0, 1), str(IMAGES), read_params().extract, None)
    assert not done_shards()


def test_workers_that_write_to_another_folder_are_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stages.filling.shards.fill_shards", lambda *_: {})
    now_s = count()
    clock = SimpleNamespace(monotonic=partial(next, now_s), sleep=lambda _: next(now_s))
    monkeypatch.setattr(fill_module, "time", clock)
    with pytest.raises(SystemExit):
        run(extract, *CELL)
    note, error = capsys.readouterr().err.splitlines()[-2:]
    assert note == f"note: waiting for {N_SHARDS} shards to appear in {POOL.absolute()}"
    assert error == (
        f"error: shards that were computed must be in {POOL.absolute()}, got {N_SHARDS} shards "
        "that are not: all processes must write to the same folder"
    )
    assert not outputs()


def test_a_bug_in_a_worker_ends_the_rest_and_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_executor(kind="local", n_workers=2)
    failures = [Failure(Task("t", fill_part, (pool_of(),)), TypeError(n)) for n in "ab"]
    ended = iter(failures)
    monkeypatch.setattr(fill_module, "executor_of", lambda *_, **__: nullcontext(lambda _: ended))
    with pytest.raises(TypeError) as caught:
        run(extract, *CELL)
    assert caught.value is failures[0].error
    assert list(ended) == failures[1:]


@pytest.mark.no_cover
def test_a_damaged_shard_is_computed_again_never_published(
    wanted: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(NAME)
    cell = pool_of()
    path = cell.rows_path(cell.split.names[1])
    intact = cell.read(path.stem)
    flip(path)
    with encoded_images() as encoded:
        run(extract, *CELL)
    (note,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert note.startswith(f"note: shard 1 of {NAME} is extracted again: ")
    assert f"{path} must be rows of a shard, got " in note
    assert set(encoded) == images_without({*range(N_SHARDS)} - {1}, SHARD_OBJECTS)
    again = cell.read(path.stem)
    assert again.files_sha256 == intact.files_sha256
    np.testing.assert_equal(again.rows, intact.rows)
    assert outputs() == wanted


@pytest.mark.no_cover
def test_a_disk_that_damages_each_shard_is_to_blame(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(NAME)
    name, folder = pool_of().split.names[1], pool_of().folder
    faulty = Mock(side_effect=DamagedShardsError({name: "its bits flip"}))
    monkeypatch.setattr(fill_module, "publish", faulty)
    assert refused(capsys) == (
        f"shards in {folder} must be as they were written, got 3 times in a row some that were "
        "not (its bits flip)"
    )


@pytest.mark.slow
def test_stopped_by_a_batch_system_it_keeps_its_shards_and_may_be_started_again(
    wanted: dict[str, bytes],
) -> None:
    with started("-c", ENDING, *at_last_piece(), "stages.cli", "fill", NAME) as process:
        wait_for_shards(1)
        process.send_signal(signal.SIGUSR1)
        _, printed = process.communicate(timeout=START_S)
    assert process.returncode == 0, printed
    assert "stopped by SIGUSR1: finished shards are kept in cache/pool" in printed
    assert len(done_shards()) < N_SHARDS
    assert not list(CACHE.rglob("*.partial"))
    assert fill(NAME)[0] == 0
    run(extract, *CELL)
    assert outputs() == wanted


def shards() -> dict[Path, int]:
    """Shards in the pool, by inode: a shard that is computed again is another file."""
    return {path: path.stat().st_ino for path in POOL.glob(f"*/*/[0-9a-f]*{NPZ}")}


ANOTHER_HOST: Final = """
import socket, sys
socket.gethostname = lambda: "another"
from stages.cli.app import app
app(sys.argv[1:])
"""
"""``usam`` on another host, which cannot know the processes of this host."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "program", [FILL, ("-c", ANOTHER_HOST, "fill", NAME)], ids=["one_host", "two_hosts"]
)
def test_processes_that_are_killed_cost_no_more_than_their_shards(
    wanted: dict[str, bytes], program: tuple[str, ...]
) -> None:
    before: dict[Path, int] = {}
    for n_shards in (1, 3):
        with started(*FILL) as one, started(*program) as other:
            wait_for_shards(n_shards)
            one.kill()
            if n_shards == 1:
                other.kill()
            one.communicate()
            other.communicate()
        assert shards().items() >= before.items(), "what was done is not done again"
        before = shards()
    assert other.returncode == 0
    assert done_shards() == list(range(N_SHARDS))
    run(extract, *CELL)
    assert outputs() == wanted


@pytest.mark.slow
def test_workers_of_one_machine_give_the_bytes_of_one_process(wanted: dict[str, bytes]) -> None:
    set_executor(kind="local", n_workers=2)
    run(extract, *CELL)
    assert outputs() == wanted
