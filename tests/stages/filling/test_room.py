"""Bytes of a cell on the disk: its features twice at most, its masks once."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml
import zarr
from typer.testing import CliRunner

from stages import extract
from stages.cli.app import app
from storage.paths import POOL, features_path, masks_path, objects_path
from storage.split.object_table import read_objects
from tests.fixtures.extract_project import CELL, SPLIT, prepare_splits, run
from tests.fixtures.fill_command import NAME, SHARD_OBJECTS, fill


def cache(*command: str) -> None:
    """Run a command of ``usam cache``."""
    assert CliRunner().invoke(app, ["cache", *command]).exit_code == 0


def take(max_objects: int) -> int:
    """Prepare the split with at most so many objects; their number."""
    params = yaml.safe_load(Path("params.yaml").read_text("utf-8"))
    params["splits"][SPLIT]["max_objects"] = max_objects
    Path("params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    prepare_splits()
    return read_objects(objects_path(SPLIT)).n_objects


def once(paths: Iterable[Path]) -> list[Path]:
    """The same files; of several links to a file, the last."""
    return [*{path.stat().st_ino: path for path in paths}.values()]


def n_rows_of_features() -> int:
    """Rows of features anywhere below the working directory."""
    in_pool = [np.load(path)["input_sha256"] for path in once(Path().rglob("*.npz"))]
    arrays = [path.parent for path in once(Path().rglob("input_sha256/c.0"))]
    assert arrays == [features_path(*CELL) / "input_sha256"]
    stored = [zarr.open_array(path, mode="r") for path in arrays]
    return sum(len(rows) for rows in in_pool) + sum(rows.shape[0] for rows in stored)


def bytes_of_masks(*places: str) -> int:
    """Bytes of the files of masks that match patterns."""
    return sum(path.stat().st_size for path in once(f for p in places for f in Path().rglob(p)))


def check_room(n_objects: int) -> None:
    published = bytes_of_masks(f"{masks_path(*CELL)}/mask_code/c.*")
    assert published
    assert bytes_of_masks("*.masks", "mask_code/c.*") == published
    assert n_rows_of_features() == 2 * n_objects, "once in the pool, once as published"


def test_features_lie_on_the_disk_twice_at_most_and_masks_once() -> None:
    n_before = take(SHARD_OBJECTS * 2 + 2)
    assert fill(NAME)[0] == 0
    run(extract, *CELL)
    check_room(n_before)
    n_objects = take(1000)
    assert n_objects > n_before + SHARD_OBJECTS
    run(extract, *CELL)
    assert n_rows_of_features() > 2 * n_objects, "the last shard before the split grew is left"
    cache("clean", "--yes")
    check_room(n_objects)
    shutil.rmtree(POOL)
    run(extract, *CELL)  # its shards come back from the store
    check_room(n_objects)
