"""Names of splits that a shell would run are refused before a shell reads them."""

from pathlib import Path

import pytest

from tests.fixtures.project_copy import copy_files, read_params, run, write_params

NAME = "x'; touch PWNED; '"


def test_dvc_runs_no_name(tmp_path: Path) -> None:
    copy_files(tmp_path)
    run(tmp_path, "git", "init", "--quiet")
    place = {"reader": "coco", "images": "params", "annotations": "params.yaml"}
    write_params(tmp_path, read_params(tmp_path) | {"splits": {NAME: place}, "eval_splits": [NAME]})
    with pytest.raises(AssertionError) as failed:
        run(tmp_path, "dvc", "repro", "--single-item", f"prepare@{NAME}")
    rule = "splits must be named by letters, digits, _ and, not first, -"
    assert f"error: params.yaml: {rule}, got {NAME!r}" in str(failed.value)
    assert not (tmp_path / "PWNED").exists()
