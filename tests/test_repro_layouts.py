"""``dvc repro`` on every layout, with the embedded models: data sets are settings and no code."""

import re
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fixtures.layouts import LAYOUTS, draw_videos
from tests.fixtures.project_copy import copy_project, read_params, repro, run, write_params
from tests.fixtures.settings import view_settings

pytestmark = pytest.mark.slow

N_OBJECTS = 6

MODEL = "tiny"
"""The only one: readers know no models."""

TO_REPORT: Final = ("davis_val", "sav_videos_val")
"""Splits of frames and of videos: once extracted, nothing tells the layouts apart but these."""


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, an eval split in every layout, each extracted; not to be changed."""
    folder = tmp_path_factory.mktemp("layouts")
    root = folder / "project"
    copy_project(root, remote=folder / "remote")
    params = read_params(root)
    splits = {f"{name}_val": written(folder, name) for name in LAYOUTS}
    params |= {"models": [MODEL], "views": view_settings("identity")}
    params |= {"eval_splits": list(splits), "train_splits": []}
    params["splits"] |= splits
    write_params(root, params)
    cells = {f"extract@{split}-{MODEL}-identity" for split in splits}
    assert {*repro(root, "--glob", "extract@*").ran} == cells | {f"prepare@{s}" for s in splits}
    return root


def written(folder: Path, name: str) -> dict[str, Any]:
    (folder / name).mkdir()
    place = LAYOUTS[name](folder / name, draw_videos(2, 1))
    return {**place, "max_objects": N_OBJECTS}


@pytest.fixture(scope="module")
def reported(extracted: Path) -> Path:
    """Another copy, which goes on to the report with two of the splits, without heads."""
    root = extracted.with_name("reported")
    shutil.copytree(extracted, root, symlinks=True)
    write_params(root, read_params(root) | {"eval_splits": list(TO_REPORT)})
    assert not [name for name in repro(root).ran if name.startswith("extract")]
    return root


def test_the_plan_says_that_every_cell_is_there(extracted: Path) -> None:
    told = run(extracted, "python", "-m", "stages.cli", "plan")
    for name in LAYOUTS:
        assert re.search(rf"^{name}_val +1 of 1 +all +0 +0 .* complete$", told, re.MULTILINE)


def test_frames_and_videos_are_in_the_report(reported: Path) -> None:
    report = (reported / "results" / "report.html").read_text("utf-8")
    assert [split for split in TO_REPORT if split not in report] == []


def test_nothing_is_out_of_date(reported: Path) -> None:
    assert run(reported, "dvc", "status").strip() == "Data and pipelines are up to date."
