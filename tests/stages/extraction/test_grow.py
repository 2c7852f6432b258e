"""A split that grows: ``extract`` computes what is new; the rest comes from cells that hold it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from pipeline.vocabulary import PROMPTS
from stages import extract, extract_train, prepare
from storage.cell.parts import Part
from storage.cell.reuse import MadeRows
from storage.paths import CACHE, features_path, masks_path, objects_path
from storage.split.objects import read_objects
from tests.fixtures.extract_project import (
    CELL,
    IMAGES,
    SIZES_PX,
    SPLIT,
    TRAIN_SPLIT,
    decoded_prompts,
    draw_project,
    encoded_images,
    files_of,
    run,
    write_params,
)
from tests.fixtures.fill_command import fill

pytestmark = pytest.mark.slow

FILES: Final = tuple(SIZES_PX)
OLD: Final = FILES[:3]
"""Images that the split begins with."""

OUTPUTS: Final = (features_path(*CELL), masks_path(*CELL))

Extracted = Callable[[], list[str]]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Projects whose cell was extracted: with all images at once, and with the old ones alone."""
    whole, small = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("small")
    with chdir(whole):
        draw_project()
        shutil.copyfile("annotations.json", "all.json")
        shutil.copytree(whole, small, dirs_exist_ok=True)
        run(extract, *CELL)
    with chdir(small):
        annotate(OLD)
        run(extract, *CELL)
    return whole, small


@pytest.fixture
def grow(projects: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Extracted:
    """Extract the cell with all images, where it has the old ones; gives the images encoded."""
    whole, small = projects
    shutil.copytree(small, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path)

    def extracted() -> list[str]:
        annotate(FILES)
        with encoded_images() as encoded:
            run(extract, *CELL)
        with chdir(whole):
            wanted = published()
        assert published() == wanted, "as if all had been extracted at once"
        return encoded

    return extracted


def annotate(files: tuple[str, ...]) -> None:
    """Leave only these images in the split."""
    content: dict[str, Any] = json.loads(Path("all.json").read_text("utf-8"))
    content["images"] = [image for image in content["images"] if image["file_name"] in files]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in kept]
    Path("annotations.json").write_text(json.dumps(content), "utf-8")
    run(prepare, SPLIT)


def published() -> dict[str, bytes]:
    return files_of(OUTPUTS[0]) | files_of(OUTPUTS[1])


def forget_outputs() -> None:
    """Remove the outputs, as DVC does before it runs a stage again."""
    for path in OUTPUTS:
        shutil.rmtree(path)


def forget_work() -> None:
    shutil.rmtree(CACHE / "work")


def n_old_objects() -> int:
    index = read_objects(objects_path(SPLIT)).image_index
    return int(np.isin(index, range(len(OLD))).sum())


def test_added_images_alone_are_encoded(
    grow: Extracted, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_outputs()
    assert grow() == list(FILES[3:])
    note = f"note: {n_old_objects()} objects taken from other cells"
    assert note in capsys.readouterr().err


def test_a_dry_run_counts_what_is_new(grow: Extracted) -> None:
    held = n_old_objects()
    forget_work()
    annotate(FILES)
    before = set(CACHE.rglob("*"))
    n_new = read_objects(objects_path(SPLIT)).n_objects - held
    status, said, _ = fill("--dry-run", "/".join(CELL))
    row = said.splitlines()[1].split("  ")
    assert (status, row[-1].strip()) == (0, "other objects")
    assert f" {n_new} " in said.splitlines()[1]
    assert set(CACHE.rglob("*")) == before
    assert grow() == list(FILES[3:])


def test_published_rows_serve_when_the_work_is_gone(grow: Extracted) -> None:
    forget_work()
    assert grow() == list(FILES[3:])


def test_another_split_serves(grow: Extracted) -> None:
    forget_work()
    for path in OUTPUTS:
        other = CACHE / path.parts[1] / "pilot" / Path(*path.parts[3:])
        other.parent.mkdir(parents=True)
        path.rename(other)
    assert grow() == list(FILES[3:])


def test_rows_that_dvc_alone_has_serve(grow: Extracted) -> None:
    # DVC removes the outputs of a stage that it runs again; its cache and dvc.lock have them.
    shutil.rmtree(CACHE / "work")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["dvc", "init", "-q"], check=True)
    command = ["dvc", "stage", "add", "-q", "-n", "made"]
    outs = [word for path in OUTPUTS for word in ("-o", path.as_posix())]
    subprocess.run([*command, *outs, "true"], check=True)
    subprocess.run(["dvc", "commit", "-q", "-f", "made"], check=True)
    forget_outputs()
    assert grow() == list(FILES[3:])


def test_rows_of_a_damaged_store_are_computed_again(grow: Extracted) -> None:
    forget_work()
    (shard, *_) = sorted(OUTPUTS[1].glob("mask_code/c*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(data)
    # Both images with objects in the first shard, and none of the second shard's own.
    assert grow() == [FILES[0], FILES[1], *FILES[3:]]


def test_a_changed_image_is_encoded_again_and_no_other_of_its_shard(
    projects: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(projects[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    forget_work()
    with (IMAGES / FILES[1]).open("ab") as file:
        file.write(b"\0")  # other bytes, the same picture
    run(prepare, SPLIT)
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert encoded == [FILES[1]]


def test_rows_of_other_settings_do_not_serve(
    projects: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(projects[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    write_params(weights="random-1")
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert encoded == list(OLD)


BOX_POINTS: Final = 2


@pytest.fixture
def prompted(
    projects: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """Files of the cell with boxes, extracted at once; its project without them is entered."""
    whole, there = tmp_path / "whole", tmp_path / "there"
    for folder in (whole, there):
        shutil.copytree(projects[1], folder)
    monkeypatch.chdir(whole)
    shutil.rmtree(CACHE / "features")
    shutil.rmtree(CACHE / "masks")
    forget_work()
    write_params(extra_prompts=["box"])
    run(extract, *CELL)
    wanted = published()
    monkeypatch.chdir(there)
    return wanted


def test_an_added_prompt_set_alone_is_decoded_and_changes_no_other(
    prompted: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    before = published()
    forget_work()
    write_params(extra_prompts=["box"])
    with decoded_prompts() as decoded:
        run(extract, *CELL)
    assert decoded == [BOX_POINTS] * n_old_objects()
    note = f"note: some prompt sets of {n_old_objects()} objects taken from other cells"
    assert note in capsys.readouterr().err
    assert published() == prompted, "as if all had been extracted at once"
    assert prompted != before


def test_a_prompt_set_that_is_dropped_costs_nothing(prompted: dict[str, bytes]) -> None:
    before = published()
    write_params(extra_prompts=["box"])
    run(extract, *CELL)
    forget_work()
    write_params()
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert (encoded, published()) == ([], before)
    assert prompted != before


def test_images_are_added_together_with_a_prompt_set(prompted: dict[str, bytes]) -> None:
    n_old = n_old_objects()
    annotate(FILES)
    write_params(extra_prompts=["box"])
    with decoded_prompts() as decoded:
        run(extract, *CELL)
    n_new = read_objects(objects_path(SPLIT)).n_objects - n_old
    assert len(decoded) == n_old + n_new * (len(PROMPTS) + 1)
    assert prompted.keys() <= published().keys()


def test_rows_that_can_be_read_again_after_all_are_taken(
    projects: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(projects[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    before, parts, asked = published(), MadeRows.parts, set[str]()

    def late(made: MadeRows, input_sha256: str) -> list[Part]:
        is_again = input_sha256 in asked
        asked.add(input_sha256)
        return parts(made, input_sha256) if is_again else []

    forget_work()
    monkeypatch.setattr(MadeRows, "parts", late)
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert (encoded, published()) == ([], before)
    assert asked


def test_heads_take_from_evaluated_cells_what_was_decoded_alone(
    projects: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(projects[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    run(prepare, TRAIN_SPLIT)
    with decoded_prompts() as decoded:
        run(extract_train, TRAIN_SPLIT, CELL[1])
    # `refined` has decoder calls of its own; `center` shared them with the other clicks.
    assert decoded == [1] * n_old_objects()
