"""Devices of cells: named in receipts, found without a job, and GPUs that have begun."""

import json
import shutil
from typing import Final

import pytest

from stages import extract
from stages.filling import pool
from stages.filling.job import prepared
from stages.settings.params import read_params
from storage.files.manifest import ROOT
from storage.paths import CACHE
from tests.fixtures.extract_project import (
    CELL,
    IMAGES,
    SPLIT,
    encoded_images,
    files_of,
    prepare_splits,
    refused,
    run,
    write_params,
)
from tests.fixtures.fill_command import (
    N_SHARDS,
    NAME,
    SHARD_OBJECTS,
    fill,
    job_of,
    receipts,
    set_executor,
)

TWO_IMAGES: Final = 13
THREE_IMAGES: Final = 18
"""Objects of the first images: shards of so many end where an image does."""


def name_device(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """From now on, this process computes on another kind of device."""
    monkeypatch.setattr("stages.extraction.models.device_name", lambda _: kind)


def test_another_kind_of_device_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(NAME, "--shard-range", "1/2")
    name_device(monkeypatch, "another")
    status, _, said = fill(NAME)
    assert status == 0
    assert f"note: {NAME} mixes kinds of device (" in said


def test_images_that_another_kind_of_device_kept_are_computed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (IMAGES / "small.png").write_bytes(b"no image")
    prepare_splits()
    fill(NAME)  # keeps the other images of the shards that have this one
    with encoded_images() as seen:
        fill(NAME)
    assert not seen
    name_device(monkeypatch, "another")
    with encoded_images() as seen:
        fill(NAME)
    assert seen


def test_rows_that_were_copied_are_of_the_kind_that_made_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_params(shard_objects=THREE_IMAGES)
    for kind, part in (("one", "1/2"), ("another", "2/2")):
        name_device(monkeypatch, kind)
        fill(NAME, "--shard-range", part)
    name_device(monkeypatch, "third")
    write_params(shard_objects=TWO_IMAGES)
    _, _, said = fill(NAME, "--shard-range", "1/2")
    assert f"note: {NAME} mixes kinds of device (another, one), which differ" in said
    fill(NAME)
    run(extract, *CELL)
    shutil.rmtree(CACHE / "work")
    write_params(shard_objects=THREE_IMAGES)
    _, _, said = fill(NAME, "--shard-range", "1/2")
    assert "mixes" not in said


@pytest.mark.parametrize("is_gone", [False, True])
def test_copied_rows_that_are_kept_beside_a_broken_image_are_of_the_kind_that_made_them(
    is_gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = IMAGES / "small.png"
    image = broken.read_bytes()
    broken.write_bytes(b"no image")
    prepare_splits()
    write_params(shard_objects=THREE_IMAGES)
    name_device(monkeypatch, "one")
    fill(NAME)
    name_device(monkeypatch, "another")
    source = job_of(NAME).marked(prepared(SPLIT, THREE_IMAGES)).folder
    write_params(shard_objects=100 * SHARD_OBJECTS)
    fill(NAME)
    assert not receipts(), "its only shard has the broken image, too"
    if is_gone:
        shutil.rmtree(source)
    broken.write_bytes(image)
    prepare_splits()
    with encoded_images() as seen:
        assert fill(NAME)[0] == 0
    copied = ["square.png", "tall.png", "wide.jpg"]
    assert seen == [*(copied if is_gone else []), "small.png"]
    (receipt,) = receipts()
    assert receipt.kinds == (("another",) if is_gone else ("another", "one"))


def begin_on_a_gpu() -> dict[str, bytes]:
    """Let a GPU have done half of the cell's shards; its files."""
    fill(NAME, "--shard-range", "1/2")
    here, there = (job_of(NAME, device=device) for device in ("cpu", "cuda"))
    split = prepared(SPLIT, SHARD_OBJECTS)
    folder = here.marked(split).folder.rename(there.marked(split).folder)
    for store in folder.glob("*.zarr"):
        described = json.loads((store / ROOT).read_text())
        described["attributes"]["signature"] |= there.signature
        (store / ROOT).write_text(json.dumps(described))
    return files_of(CACHE / "work")


def test_a_cell_that_a_gpu_has_begun_is_not_begun_anew_unasked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    n_done = len(range(0, N_SHARDS, 2))
    begun = begin_on_a_gpu()
    wanted = (
        f"{NAME} must be finished on a GPU, as it was begun ({n_done} of {N_SHARDS} shards "
        "done), got none here; extract.device: cpu would begin it anew on this processor, and keep "
        "what the GPU has done"
    )
    write_params(shard_objects=SHARD_OBJECTS, device="auto")
    assert refused(capsys) == wanted
    assert fill(NAME) == (1, "", f"error: {wanted}\n")
    assert files_of(CACHE / "work") == begun
    assert f"{n_done} of {N_SHARDS} shards done" in fill("--dry-run", NAME)[1]
    write_params(shard_objects=SHARD_OBJECTS, device="cpu")
    row = fill("--dry-run", NAME)[1].splitlines()[1]
    assert row.split()[-1] == "missing"
    run(extract, *CELL)
    assert files_of(CACHE / "work").items() >= begun.items()


def no_job(*_: object, **__: object) -> None:
    """In the place of what would start workers."""
    raise AssertionError("no worker may be started")


def test_what_jobs_compute_on_is_known_before_any_is_handed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_params(shard_objects=SHARD_OBJECTS, device="auto")
    monkeypatch.setattr(pool, "run_tasks", no_job)
    for n_gpus, device in ((1, "cuda"), (0, "cpu")):
        set_executor(kind="slurm", slurm={"gpus": n_gpus})
        params = read_params()
        assert pool.device_of(params.extract, params.executor) == device


@pytest.mark.parametrize("kind", ["slurm", "address"])
def test_a_dry_run_starts_no_worker(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_on_a_gpu()
    write_params(shard_objects=SHARD_OBJECTS, device="auto")
    set_executor(kind=kind, address="tcp://127.0.0.1:1")
    monkeypatch.setattr(pool, "run_tasks", no_job)
    status, said, noted = fill("--dry-run", NAME)
    assert status == 0
    assert f"of {N_SHARDS} shards done" in said
    assert "unknown" not in said
    assert noted.startswith("note: seconds are those of one process on ")
