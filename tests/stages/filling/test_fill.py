"""``usam fill``: processes share the work, and ``extract`` finds it done."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Final

import pytest
import yaml
from typer.testing import CliRunner

from stages import extract
from stages.cli.app import app
from stages.filling.cell import job_on
from stages.filling.choice import choose_names
from stages.filling.job import prepared as prepared_split
from stages.filling.worker import fill_told
from stages.shell.params import read_params
from storage.errors import StoreError
from storage.paths import CACHE
from tests.fixtures.extract_project import (
    CELL,
    IMAGES,
    SPLIT,
    done_shards,
    draw_project,
    outputs,
    prepare_splits,
    run,
    write_params,
)

ROOT: Final = Path(__file__).parents[3]
SHARD_OBJECTS: Final = 5
N_SHARDS: Final = 7
START_S: Final = 120.0
NAME: Final = "/".join(CELL)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that awaits extraction."""
    root = tmp_path_factory.mktemp("prepared")
    with chdir(root):
        draw_project(n_objects=8, shard_objects=SHARD_OBJECTS)
    return root


@pytest.fixture(scope="module")
def wanted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Outputs of a cell that one process extracted, undisturbed."""
    root = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(prepared, root, dirs_exist_ok=True)
    with chdir(root):
        run(extract, *CELL)
        return outputs()


@pytest.fixture(autouse=True)
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the prepared project, as the working directory."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def fill(*arguments: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of the command."""
    result = CliRunner().invoke(app, ["fill", *arguments])
    return result.exit_code, result.stdout, result.stderr


@contextmanager
def started(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "stages.cli", "fill", *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        yield process
        if process.poll() is None:
            process.kill()


def wait_for_shards(n_shards: int) -> None:
    end = time.monotonic() + START_S
    while len(done_shards()) < n_shards:
        assert time.monotonic() < end, f"{n_shards} shards took too long"
        time.sleep(0.01)


def test_what_is_filled_is_published_without_torch(wanted: dict[str, bytes]) -> None:
    status, said, _ = fill(NAME)
    assert (status, said) == (
        0,
        f"filled {N_SHARDS} shards of 1 cells; `dvc repro` publishes them\n",
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
    assert fill(NAME) == (0, "nothing is missing of 1 cells\n", "")


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
    assert "4 of 7 shards are done" in said
    assert "unknown" not in said, "the receipts tell how long an object takes"
    write_params(precision="bf16", shard_objects=SHARD_OBJECTS)
    fill(NAME)
    run(extract, *CELL)
    write_params(shard_objects=SHARD_OBJECTS)
    _, said, _ = fill("--dry-run", f"{SPLIT}/tiny/vflip", NAME)
    assert "4 of 7 shards are done" in said


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


def test_another_kind_of_device_is_told_and_may_be_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(NAME, "--shard-range", "1/2")
    monkeypatch.setattr("stages.extraction.models.device_name", lambda _: "another processor")
    status, _, said = fill(NAME, "--same-device")
    assert status == 1
    assert f"error: {NAME} must be filled by one kind of device, " in said
    status, _, said = fill(NAME)
    assert status == 0
    assert f"note: {NAME} mixes kinds of device (" in said


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
        fill_told(job, (0,))
    assert not done_shards()


def test_a_changed_image_is_missing_from_a_published_cell() -> None:
    run(extract, *CELL)
    with (IMAGES / "small.png").open("ab") as file:
        file.write(b"\0")
    prepare_splits()
    status, said, _ = fill("--dry-run", NAME)
    assert status == 0
    assert said.splitlines()[-1].split("  ")[-1].endswith("shards are done")
    shutil.rmtree(CACHE / "work")
    assert fill("--dry-run", NAME)[1].rstrip().endswith("other images")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.slow
def test_stopped_by_a_batch_system_it_keeps_its_images_and_may_be_started_again(
    wanted: dict[str, bytes], number: signal.Signals
) -> None:
    with started(NAME) as process:
        wait_for_shards(1)
        process.send_signal(number)
        _, said = process.communicate(timeout=START_S)
    assert process.returncode == 0, said
    assert f"stopped by {number.name}: finished shards and images are kept in cache/work" in said
    assert len(done_shards()) < N_SHARDS
    assert not list(CACHE.rglob("claims/*.json"))
    assert fill(NAME)[0] == 0
    run(extract, *CELL)
    assert outputs() == wanted


def marked() -> dict[Path, int]:
    """Marks of shards, each a file that another one would replace."""
    return {path: path.stat().st_ino for path in marks()}


@pytest.mark.slow
def test_processes_that_are_killed_cost_no_more_than_their_shards(
    wanted: dict[str, bytes],
) -> None:
    before: dict[Path, int] = {}
    for n_shards in (1, 3):
        with started(NAME) as one, started(NAME) as other:
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
    run(extract, *CELL)
    assert outputs() == wanted


@pytest.mark.slow
def test_processes_of_this_machine_give_the_bytes_of_one(wanted: dict[str, bytes]) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    params["executor"] = {"kind": "local", "n_workers": 2}
    Path("params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    run(extract, *CELL)
    assert outputs() == wanted
    makers = {mark.read_text().split('"pid": ')[1].split(",")[0] for mark in marks()}
    assert len(makers) == 2


def marks() -> list[Path]:
    return list(CACHE.glob("work/*/*/*/*/marks/*.json"))
