"""Rows of other cells serve only while these are as they were found."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.cell.making import Cell
from storage.cell.parts import joined
from storage.cell.reuse import MadeRows, find_made
from storage.files.manifest import FileRecord, record_of
from storage.paths import features_path, masks_path
from tests.fixtures.made_up_cell import (
    ORIGINAL,
    PLAN,
    PROMPTS,
    SIGNATURE,
    images_of,
    open_cell,
    rows_of,
)

CELL = {"model": "tiny", "view": "identity", "prompts": PROMPTS}
INPUTS = str(rows_of(1)["input_sha256"][0])
"""Digest of what the rows of shard 1 come from."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work folder of a finished cell, in the cache of the working directory."""
    monkeypatch.chdir(tmp_path)
    images = images_of(ORIGINAL)
    cell = open_cell(Path("cache"), **CELL)
    for shard in range(len(images)):
        cell.write_shard(shard, rows_of(shard), images[shard])
    return cell.folder


def found() -> MadeRows:
    return find_made({**SIGNATURE, **CELL}, [INPUTS], Path("own"), with_masks=True)


def test_rows_are_found_by_what_they_come_from(folder: Path) -> None:
    assert folder.exists()
    (part,) = found().parts(INPUTS)
    wanted = rows_of(1)
    assert (part.prompts, set(part.rows)) == (PROMPTS, set(wanted) - {"input_sha256"})
    for name, values in part.rows.items():
        np.testing.assert_array_equal(values, wanted[name])


def test_rows_of_a_compiled_model_serve_no_other(folder: Path) -> None:
    assert folder.exists()
    asked = {**SIGNATURE, **CELL, "compile": True}
    alike = {**asked, "compile": False}
    made = find_made(asked, [INPUTS], Path("own"), with_masks=True)
    assert made.lacking(INPUTS) == PROMPTS
    assert find_made(alike, [INPUTS], Path("own"), with_masks=True).lacking(INPUTS) == ()


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (("center", "refined", "box"), ("center", "refined")),
        (("refined", "box"), ("refined",)),
        # Clicks share decoder calls: `center` among others has other last bits than alone.
        (("center", "p1", "refined"), ("refined",)),
        (("box",), ()),
    ],
)
def test_prompt_sets_serve_one_by_one_if_their_calls_are_the_same(
    folder: Path, asked: tuple[str, ...], taken: tuple[str, ...]
) -> None:
    assert folder.exists()
    made = find_made(
        {**SIGNATURE, **CELL, "prompts": list(asked)}, [INPUTS], Path("own"), with_masks=True
    )
    assert made.lacking(INPUTS) == tuple(name for name in asked if name not in taken)
    parts = made.parts(INPUTS)
    assert [part.prompts for part in parts] == [taken] * bool(taken)
    for part in parts:
        columns = [PROMPTS.index(name) for name in taken]
        np.testing.assert_array_equal(part.rows["iou"], rows_of(1)["iou"][:, columns])


def test_two_cells_serve_together(folder: Path) -> None:
    assert folder.exists()
    plan = replace(PLAN, prompts=("box", "refined"))
    signature = SIGNATURE | CELL | {"prompts": plan.prompts}
    cell = Cell.open(Path("cache/work/other/tiny/identity"), signature, plan)
    other = rows_of(1, version=2) | {"input_sha256": rows_of(1)["input_sha256"]}
    cell.write_shard(1, other, images_of(ORIGINAL)[1])
    asked = ("center", "refined", "box")
    made = find_made(SIGNATURE | CELL | {"prompts": asked}, [INPUTS], Path("own"), with_masks=True)
    whole = joined(made.parts(INPUTS), asked)
    assert made.lacking(INPUTS) == ()
    for name, column in (("iou", 0), ("mask_code", 0), ("iou_token", 0)):
        np.testing.assert_array_equal(whole[name][:, 2], other[name][:, column])
    assert {name for name in whole if whole[name].shape[1] != len(asked)} == set()


@pytest.mark.parametrize(
    "other", [{"prompts": ("box", "refined")}, {"objects_digest": "another"}], ids=str
)
def test_masks_that_are_not_of_the_cell_of_their_features_do_not_serve(
    folder: Path, other: dict[str, Any]
) -> None:
    shutil.rmtree(folder)
    features, masks = (place("val", "tiny", "identity") for place in (features_path, masks_path))
    own = SIGNATURE | CELL | {"objects_digest": "of this split"}
    for signature, targets in (
        (own | other, (Path("aside"), Path("other"))),
        (own, (features, masks)),
    ):
        plan = replace(PLAN, prompts=tuple(signature["prompts"]))
        cell = Cell.open(Path("elsewhere"), signature, plan)
        for shard, images in enumerate(images_of(ORIGINAL)):
            cell.write_shard(shard, rows_of(shard), images)
        cell.publish(*targets)
    assert found().lacking(INPUTS) == ()
    shutil.rmtree(masks)
    Path("other").rename(masks)
    assert found().lacking(INPUTS) == PROMPTS


def test_masks_of_other_images_than_their_features_do_not_serve(folder: Path) -> None:
    shutil.rmtree(folder)
    features, masks = (place("val", "tiny", "identity") for place in (features_path, masks_path))
    for versions, targets in (
        ((0, 0, 1), (Path("aside"), Path("other"))),
        (ORIGINAL, (features, masks)),
    ):
        cell = open_cell(Path("elsewhere") / str(versions), **CELL)
        for shard, images in enumerate(images_of(versions)):
            cell.write_shard(shard, rows_of(shard, versions[shard]), images)
        cell.publish(*targets)
    assert found().lacking(INPUTS) == ()
    shutil.rmtree(masks)
    Path("other").rename(masks)
    assert found().lacking(INPUTS) == PROMPTS


def test_objects_that_are_alike_serve_on_both_sides_of_a_cut(folder: Path) -> None:
    cell, images = open_cell(Path("cache"), **CELL), images_of((0, 1, 1))
    for shard in (1, 2):
        alike = {"input_sha256": np.full(len(rows_of(shard)["iou"]), "alike")}
        cell.write_shard(shard, rows_of(shard) | alike, images[shard])
    made = find_made({**SIGNATURE, **CELL}, ["alike"], Path("own"), with_masks=True)
    (part,) = made.parts("alike")
    assert len(part.rows["iou"]) in {len(rows_of(shard)["iou"]) for shard in (1, 2)}
    assert folder.exists()


def remove_masks(folder: Path) -> None:
    (folder / "masks.zarr" / "mask_code" / "c.1.0.0.0.0").unlink()


def remove_scores(folder: Path) -> None:
    (folder / "features.zarr" / "iou" / "c.1.0.0").unlink()


def remove_all(folder: Path) -> None:
    shutil.rmtree(folder)


def put_another(folder: Path) -> None:
    shutil.copytree(folder / "features.zarr", folder / "another.zarr")
    shutil.rmtree(folder / "features.zarr")
    (folder / "another.zarr").rename(folder / "features.zarr")


def write_again(folder: Path) -> None:
    """As whoever sees another image does."""
    cell = open_cell(Path("cache"), **CELL)
    assert cell.folder == folder
    cell.write_shard(1, rows_of(1, version=1), images_of((0, 1, 0))[1])


@pytest.mark.parametrize(
    "change", [remove_masks, remove_scores, remove_all, put_another, write_again]
)
def test_rows_that_are_gone_meanwhile_are_not_taken_for_empty_ones(
    folder: Path, change: Callable[[Path], None]
) -> None:
    made = found()
    assert made.lacking(INPUTS) == ()
    change(folder)
    assert made.parts(INPUTS) == []


def test_rows_that_are_written_again_are_those_of_their_inputs_or_none(folder: Path) -> None:
    made = found()
    (before,) = made.parts(INPUTS)
    write_again(folder)
    for part in made.parts(INPUTS):
        for name, values in part.rows.items():
            np.testing.assert_array_equal(values, before.rows[name])


def published(folder: Path) -> Path:
    """Masks of the cell, published, its work gone."""
    features, masks = (place("val", "tiny", "identity") for place in (features_path, masks_path))
    open_cell(Path("cache"), **CELL).publish(features, masks)
    shutil.rmtree(folder)
    return masks


@pytest.mark.parametrize("is_published", [False, True])
def test_files_are_compared_when_their_rows_are_taken_each_once_and_no_others(
    folder: Path, is_published: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(path: Path) -> FileRecord:
        compared.append(path)
        return record_of(path)

    if is_published:
        published(folder)
    compared: list[Path] = []
    for module in ("source", "marked"):
        monkeypatch.setattr(f"storage.cell.{module}.record_of", record)
    made = found()
    assert made.lacking(INPUTS) == ()
    assert not compared
    assert len(made.parts(INPUTS)) == len(made.parts(INPUTS)) == 1
    assert len(compared) == len({*compared})
    assert [path.name for path in compared if path.parent.name == "mask_code"] == ["c.1.0.0.0.0"]


@pytest.mark.parametrize("is_published", [False, True])
def test_an_intact_file_in_the_place_of_another_does_not_serve(
    folder: Path, is_published: bool
) -> None:
    masks = published(folder) if is_published else folder / "masks.zarr"
    other = masks / "mask_code" / "c.0.0.0.0.0"
    shutil.copyfile(other, other.with_name("c.1.0.0.0.0"))
    made = found()
    assert made.lacking(INPUTS) == ()
    assert made.parts(INPUTS) == []
