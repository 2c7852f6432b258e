"""Devices of cells: their kind is known without a job, and cells that a GPU has begun."""

import json
import shutil

import numpy as np
import pytest

from stages import extract
from stages.filling import fill_cells as fill_module
from stages.settings.params import read_params
from storage.paths import POOL
from storage.pool.cell import SETTINGS, SETTINGS_DIGEST
from tests.fixtures.extract_project import (
    CELL,
    files_of,
    outputs,
    pool_of,
    refused,
    run,
    write_params,
)
from tests.fixtures.fill_command import N_SHARDS, NAME, SHARD_OBJECTS, fill, plan, set_executor


def name_device(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """From now on, this process computes on another kind of device."""
    monkeypatch.setattr("stages.extraction.steps.device_name", lambda _: kind)


@pytest.mark.no_cover
def test_kinds_of_device_that_are_mixed_are_named_in_one_line(
    wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, kind in enumerate(("one", "another"), 1):
        name_device(monkeypatch, kind)
        fill(NAME, "--shard-range", f"{part}/2")
    run(extract, *CELL)
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [
        f"note: {NAME} mixes kinds of device (another, one), which differ in the last digits"
    ]
    assert outputs() == wanted, "stores do not say which kind has made them"


def move_to_a_gpu() -> None:
    """Turn all shards of this processor into shards of a GPU."""
    on_cpu, on_gpu = (pool_of(device=device) for device in ("cpu", "cuda"))
    on_gpu.folder.mkdir(exist_ok=True)
    (on_gpu.folder / SETTINGS).write_text(json.dumps(on_gpu.settings))
    for folder in on_cpu.folder.glob("??"):
        (on_gpu.folder / folder.name).mkdir()
    for file in on_cpu.folder.glob("*/*.masks"):
        shutil.copyfile(file, on_gpu.folder / file.relative_to(on_cpu.folder))
    for file in on_cpu.folder.glob("*/*.npz"):
        with np.load(file) as arrays:
            changed = {**arrays, SETTINGS_DIGEST: np.array(on_gpu.settings_digest)}
        np.savez(on_gpu.folder / file.relative_to(on_cpu.folder), **changed)
    shutil.rmtree(on_cpu.folder)


def begin_on_a_gpu() -> dict[str, bytes]:
    """Let a GPU have done half of the cell's shards; its files."""
    fill(NAME, "--shard-range", "1/2")
    move_to_a_gpu()
    return files_of(POOL)


@pytest.mark.no_cover
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
    assert files_of(POOL) == begun
    assert f"{n_done} of {N_SHARDS} shards done" in plan()
    write_params(shard_objects=SHARD_OBJECTS, device="cpu")
    assert plan().splitlines()[1].endswith("  missing")
    run(extract, *CELL)
    assert files_of(POOL).items() >= begun.items()


@pytest.mark.no_cover
def test_a_cell_that_a_gpu_has_done_is_published_where_there_is_none() -> None:
    fill(NAME)
    move_to_a_gpu()
    write_params(shard_objects=SHARD_OBJECTS, device="auto")
    run(extract, *CELL)
    assert all(b'"device": "cuda"' in data for file, data in outputs().items() if is_root(file))


def is_root(file: str) -> bool:
    return file.endswith("identity.zarr/zarr.json")


def no_job(*_: object, **__: object) -> None:
    """Stands in for an executor that would start workers."""
    raise AssertionError("no worker may be started")


def test_what_jobs_compute_on_is_known_before_any_is_handed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_params(shard_objects=SHARD_OBJECTS, device="auto")
    monkeypatch.setattr(fill_module, "executor_of", no_job)
    for n_gpus, device in ((1, "cuda"), (0, "cpu")):
        set_executor(kind="slurm", slurm={"gpus": n_gpus})
        params = read_params()
        assert fill_module.device_of(params.extract, params.executor) == device
