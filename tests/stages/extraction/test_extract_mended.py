"""Stage ``extract`` run again does what is missing and no more, and ends with the same bytes."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, chdir, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import storage
from pipeline import prompt_kinds
from pipeline.prompt_kinds import bounding_box
from stages import extract
from storage.paths import CACHE, POOL, features_path
from storage.pool import publishing
from storage.pool.cell import Cell
from tests.fixtures.extract_project import (
    CELL,
    IMAGES,
    SIZES_PX,
    done_shards,
    encoded_images,
    files_of,
    images_without,
    outputs,
    pool_of,
    prepare_splits,
    refused,
    run,
    write_params,
)

MakeRoom = Callable[[], None]


def no_space(path: Path | None = None) -> OSError:
    """What Python raises; a failed write does not say where."""
    error = errno.ENOSPC, os.strerror(errno.ENOSPC)
    return OSError(*error) if path is None else OSError(*error, str(path))


@contextmanager
def full_at_fsync(is_full: Callable[[], bool]) -> Iterator[MakeRoom]:
    """A disk that tells of its lack of room when what was written is flushed."""
    flush = os.fsync

    def fsync(handle: int) -> None:
        if is_full():
            raise no_space()
        flush(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield patch.undo


@contextmanager
def full_at_write(place: Path, room_kb: int) -> Iterator[MakeRoom]:
    """A small file system at ``place``; skips the test where none may be mounted."""
    place.mkdir(parents=True)
    mount = ("mount", "-t", "tmpfs", "tmpfs", str(place), "-o")
    if subprocess.run([*mount, f"size={room_kb}k"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")

    def make_room() -> None:
        subprocess.run([*mount, f"remount,size={10 * room_kb}k"], check=True)

    try:
        yield make_room
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


FullDisk = Callable[[], AbstractContextManager[MakeRoom]]

BROKEN = ("wide.jpg", "small.png")
"""Images whose failure leaves one of three shards whole."""


@pytest.fixture
def wanted(extracted: Path) -> dict[str, bytes]:
    """Outputs of a run that never failed."""
    with chdir(extracted):
        return outputs()


@pytest.fixture
def finished(extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the finished project, as the working directory."""
    shutil.copytree(extracted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def prepared(finished: None) -> None:  # noqa: ARG001 - it is what this one starts from
    """The same, with all that ``extract`` made gone."""
    forget("pool", "features", "masks")


def forget(*kinds: str) -> None:
    for kind in kinds:
        shutil.rmtree(CACHE / kind)


def break_images() -> Callable[[], None]:
    """Spoil the images in ``BROKEN``; gives a function that mends them."""
    good = {IMAGES / file: (IMAGES / file).read_bytes() for file in BROKEN}
    truncated, garbage = good
    truncated.write_bytes(good[truncated][:-600])
    garbage.write_bytes(b"no image")
    prepare_splits()

    def mend() -> None:
        for path, data in good.items():
            path.write_bytes(data)
        prepare_splits()

    return mend


@pytest.mark.usefixtures("prepared")
def test_images_that_fail_are_named_and_cost_their_shards_alone(
    wanted: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    mend = break_images()
    error = refused(capsys)
    assert "got 2 that cannot be (" in error
    assert "(wide.jpg: " in error.replace("; wide.jpg", "(wide.jpg")
    assert "got: image file is truncated" in error
    assert "small.png: images/small.png must be a readable image, got: cannot identify" in error
    assert f"all shards without them are kept in {pool_of().folder}: fix or replace these" in error
    assert done_shards() == [0]
    with encoded_images() as encoded:
        assert refused(capsys).count("wide.jpg: ") == 1
    assert set(encoded) <= images_without([0]) - set(BROKEN), "what was kept is not done again"
    mend()
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert set(encoded) == images_without([0])
    assert outputs() == wanted


@pytest.mark.usefixtures("prepared")
def test_a_prompt_set_that_leaves_an_image_costs_its_shards_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_the_wide_one(mask: np.ndarray) -> np.ndarray:
        return bounding_box(mask) + (128 if mask.shape == SIZES_PX["wide.jpg"] else 0)

    monkeypatch.setattr(prompt_kinds, "bounding_box", leave_the_wide_one)
    write_params(extra_prompts=["box"])
    error = refused(capsys)
    assert "points of prompt set box must lie in the image of 128 x 96 px, got " in error
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompt_kinds, "bounding_box", bounding_box)
        lost = set(range(3)) - set(done_shards())
    assert lost < set(range(3))
    assert "wide.jpg" not in images_without(lost)


@pytest.mark.usefixtures("finished")
def test_an_image_of_another_content_costs_its_shards_and_going_back_nothing(
    wanted: dict[str, bytes],
) -> None:
    good = repaint("square.png")
    prepare_splits()
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert "square.png" in encoded
    assert set(encoded) == images_without([1, 2])
    found = outputs()
    assert found != wanted
    forget("pool", "features", "masks")
    run(extract, *CELL)
    assert outputs() == found
    (IMAGES / "square.png").write_bytes(good)
    prepare_splits()
    run(extract, *CELL)
    assert outputs() == wanted


def repaint(file: str) -> bytes:
    """Negate an image; gives the former bytes."""
    path = IMAGES / file
    former = path.read_bytes()
    with Image.open(path) as image:
        Image.fromarray(255 - np.asarray(image)).save(path)
    return former


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("lost", [("features", "masks"), ("features",)])
def test_outputs_that_are_gone_are_published_again_without_the_model(
    wanted: dict[str, bytes], lost: tuple[str, ...]
) -> None:
    forget(*lost)
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert encoded == []
    assert outputs() == wanted


@pytest.mark.usefixtures("prepared")
def test_a_cell_that_could_not_be_published_outlives_the_run_of_another(
    wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = publishing._write

    def write_no_masks(cell: Cell, kind: str, store: Path, *arguments: Any) -> Any:  # noqa: ANN401
        if kind == "masks":
            raise no_space(store)
        return write(cell, kind, store, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_write", write_no_masks)
        with pytest.raises(SystemExit, match="1"):
            run(extract, *CELL)
    run(extract, *CELL[:2], "vflip")
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert encoded == []
    assert {path: data for path, data in outputs().items() if "/identity.zarr/" in path} == wanted


@pytest.mark.usefixtures("prepared")
def test_shards_under_other_settings_stay_and_serve_when_these_come_back(
    wanted: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    mend = break_images()
    refused(capsys)
    former = pool_of().folder
    kept = files_of(former)
    mend()
    write_params(precision="bf16")
    run(extract, *CELL)
    assert files_of(former) == kept
    assert storage.open_features(features_path(*CELL)).attrs["signature"]["precision"] == "bf16"
    write_params()
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert set(encoded) == images_without([0])
    assert outputs() == wanted
    write_params(precision="bf16")
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert not encoded


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(
    "full_disk",
    [
        pytest.param(lambda: full_at_fsync(lambda: bool(done_shards())), id="at_fsync"),
        pytest.param(lambda: full_at_write(POOL, room_kb=500), id="at_write"),
    ],
)
def test_a_full_disk_is_named_and_costs_no_shard_that_was_done(
    wanted: dict[str, bytes], capsys: pytest.CaptureFixture[str], full_disk: FullDisk
) -> None:
    with full_disk() as make_room:
        error = refused(capsys)
        assert error.startswith(f"{POOL}/")
        assert error.endswith(": No space left on device")
        done = done_shards()
        assert 0 < len(done) < len(pool_of().split.names)
        make_room()
        with encoded_images() as encoded:
            run(extract, *CELL)
        assert set(encoded) == images_without(done)
        assert outputs() == wanted
