"""Rows of other cells serve only while these are as they were found."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from storage.cell.reuse import MadeRows, find_made
from tests.fixtures.made_up_cell import ORIGINAL, SIGNATURE, images_of, open_cell, rows_of

CELL = {"model": "tiny", "view": "identity"}
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
    rows = found().rows(INPUTS)
    assert rows is not None
    for name, values in rows_of(1).items():
        np.testing.assert_array_equal(rows[name].astype(values.dtype), values)


def test_rows_of_a_compiled_model_serve_no_other(folder: Path) -> None:
    assert folder.exists()
    asked = {**SIGNATURE, **CELL, "compile": True}
    assert INPUTS not in find_made(asked, [INPUTS], Path("own"), with_masks=True)
    assert INPUTS in find_made({**asked, "compile": False}, [INPUTS], Path("own"), with_masks=True)


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


@pytest.mark.parametrize("change", [remove_masks, remove_scores, remove_all, put_another])
def test_rows_that_are_gone_meanwhile_are_not_taken_for_empty_ones(
    folder: Path, change: Callable[[Path], None]
) -> None:
    made = found()
    assert INPUTS in made
    change(folder)
    assert made.rows(INPUTS) is None
