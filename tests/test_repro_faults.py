"""Runs of DVC that are stopped, and names of splits that a shell would run."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.fixtures.project_copy import (
    change_params,
    copy_project,
    read_params,
    run,
    start,
)

pytestmark = pytest.mark.slow

DRAWN: Final = "data/.shapes.*.partial/val/*.png"
"""What the stage has drawn so far."""

START_S: Final = 120.0

HELD: Final = "held"
"""While there is such a file, the stage does not go beyond its first images."""

HOLDING: Final = f"""
drawn, draw_at_once = [], draw_scene

def draw_scene(*arguments):
    import pathlib, time
    while len(drawn) > {{n_images}} and pathlib.Path("{HELD}").exists():
        time.sleep(0.01)
    drawn.append(draw_at_once(*arguments))
    return drawn[-1]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which nothing has run yet."""
    folder = tmp_path_factory.mktemp("stopped")
    root = folder / "project"
    copy_project(root, remote=folder / "remote")
    with (root / "pipeline/scenes/scene.py").open("a") as code:
        code.write(HOLDING.format(n_images=read_params(root)["shapes"]["n_train_images"]))
    return root


@contextmanager
def drawing(root: Path, *, seed: int) -> Iterator["subprocess.Popen[str]"]:
    """``dvc repro shapes``, while the stage is held at its drawing."""
    (root / HELD).touch()
    change_params(root, shapes={"seed": seed, "n_val_images": 3})
    with start(root, "dvc", "repro", "shapes") as process:
        end = time.monotonic() + START_S
        while not list(root.glob(DRAWN)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "the stage took too long to begin"
            time.sleep(0.02)
        yield process


def assert_nothing_stands(root: Path) -> None:
    assert not (root / "data" / "shapes").exists()
    assert not list((root / "data").glob(".*.partial"))
    assert not (root / "dvc.lock").exists()


def test_an_edit_that_would_be_recorded_ends_the_stage(project: Path) -> None:
    with drawing(project, seed=1) as process:
        change_params(project, shapes={"seed": 31})
        (project / HELD).unlink()
        out, err = process.communicate()
    assert process.returncode != 0
    assert "params.yaml must stay as it was when the stage began, got shapes.seed: 1 -> 31;" in err
    assert "Traceback" not in out + err
    assert_nothing_stands(project)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_of_it_ends_the_stage_in_words(
    project: Path, number: signal.Signals
) -> None:
    # As a terminal or a batch system does. DVC ignores Ctrl-C, and dies of SIGTERM. Which status
    # it reports is up to the shell between: bash hands on the stage's 130, dash dies itself.
    with drawing(project, seed=3) as process:
        os.killpg(process.pid, number)
        out, err = process.communicate()
    assert process.returncode != 0
    assert f"stopped by {number.name}: no file is half-written; run it" in err
    assert "Traceback" not in out + err
    if number == signal.SIGINT:
        assert "failed to run: python -m stages.shapes, exited with" in err
    assert_nothing_stands(project)


NAMES: Final = {
    "quotes": "x'; touch PWNED; '",
    "lines": "x\ntouch PWNED\n'\ntouch PWNED\n",
}
"""Names that make a file if a shell runs them."""


def refusal_of(root: Path, target: str, **settings: object) -> str:
    """What a stage says that DVC runs alone, under settings with a name that a shell would run."""
    run(root, "git", "checkout", "--quiet", "params.yaml")
    change_params(root, **settings)
    with pytest.raises(AssertionError) as failed:
        run(root, "dvc", "repro", "--single-item", target)
    assert not (root / "PWNED").exists()
    return str(failed.value)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_dvc_runs_no_name_of_a_split(name: str, project: Path) -> None:
    place = {"reader": "coco", "images": "params", "annotations": "params.yaml"}
    said = refusal_of(project, f"prepare@{name}", splits={name: place}, eval_splits=[name])
    rule = "splits must be named by letters, digits, _ and, not first, -"
    assert f"error: params.yaml: {rule}, got {name!r}" in said


def test_dvc_runs_no_name_of_a_matrix_though_prepare_has_nothing_to_do(project: Path) -> None:
    name = '"$(touch PWNED)`touch PWNED`'
    objects = project / "cache" / "objects" / f"{name}.zarr"
    objects.mkdir(parents=True)
    # The first of them is asked for.
    lists = {"eval_splits": [name], "models": [name], "views": {name: {}}}
    said = refusal_of(project, f"extract@{name}-{name}-{name}", **lists)
    assert "error: params.yaml: views must have identity, got" in said
