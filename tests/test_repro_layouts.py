"""``dvc repro`` on every layout, with the embedded models: data sets are settings and no code."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.layouts import LAYOUTS, draw_videos
from tests.fixtures.project_copy import copy_project, read_params, repro, run, write_params
from tests.fixtures.settings import view_settings

pytestmark = pytest.mark.slow

N_OBJECTS = 6

MODEL = "tiny"
"""The only one: readers know no models."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, an eval split in every layout, reproduced once, without heads."""
    folder = tmp_path_factory.mktemp("layouts")
    root = folder / "project"
    copy_project(root, remote=folder / "remote")
    params = read_params(root)
    splits = {f"{name}_val": written(folder, name) for name in LAYOUTS}
    params |= {"models": [MODEL], "views": view_settings("identity")}
    params |= {"eval_splits": list(splits), "train_splits": []}
    params["splits"] |= splits
    write_params(root, params)
    # In two steps, for each may take a limited time.
    ran = [*repro(root, "--glob", "extract@*").ran, *repro(root).ran]
    cells = {f"extract@{split}-{MODEL}-identity" for split in splits}
    assert cells | {f"prepare@{split}" for split in splits} < set(ran)
    return root


def written(folder: Path, name: str) -> dict[str, Any]:
    (folder / name).mkdir()
    place = LAYOUTS[name](folder / name, draw_videos(2, 1))
    return {**place, "max_objects": N_OBJECTS}


def test_every_data_set_is_in_the_report(project: Path) -> None:
    report = (project / "results" / "report.html").read_text("utf-8")
    assert [name for name in LAYOUTS if f"{name}_val" not in report] == []


def test_nothing_is_out_of_date(project: Path) -> None:
    assert run(project, "dvc", "status").strip() == "Data and pipelines are up to date."


def test_the_plan_says_that_every_cell_is_there(project: Path) -> None:
    told = run(project, "python", "-m", "stages.cli", "plan")
    for name in LAYOUTS:
        assert re.search(rf"^{name}_val +1 of 1 +all +0 +0 .* complete$", told, re.MULTILINE)
