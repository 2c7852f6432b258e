"""What DVC takes from its run cache and from a remote, where a lock, data or masks are missing."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.fixtures.demo_copy import ALL_STAGES, Demo
from tests.fixtures.doc_pages import block
from tests.fixtures.project_copy import (
    change_params,
    changed_files,
    clone_project,
    commit,
    read_params,
    repro,
    run,
    set_remote,
)

pytestmark = pytest.mark.slow

WITHOUT_MASKS = block("dvc pull $(")
THEN = block("dvc repro --allow-missing --glob")


@pytest.fixture(scope="module")
def pushed(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo whose outputs are in the remote beside it."""
    root = tmp_path_factory.mktemp("pushed") / "project"
    shutil.copytree(demo.root, root, symlinks=True)
    set_remote(root, root.with_name("remote"))
    run(root, "dvc", "push")
    return root


@pytest.fixture
def clone(pushed: Path, tmp_path: Path) -> Path:
    """A fresh clone of the demo, without any output."""
    root = tmp_path / "clone"
    clone_project(pushed, root, remote=pushed.with_name("remote"))
    return root


def evaluated_inputs(root: Path) -> dict[str, str]:
    """What a lock says that the results were made of, heads apart."""
    lock = yaml.safe_load((root / "dvc.lock").read_text("utf-8"))
    deps = lock["stages"]["evaluate@shapes_val"]["deps"]
    return {dep["path"]: dep["md5"] for dep in deps if not dep["path"].startswith("heads")}


def test_without_its_lock_everything_comes_from_the_run_cache(demo_copy: Path) -> None:
    lock = demo_copy / "dvc.lock"
    before = lock.read_bytes()
    lock.unlink()
    done = repro(demo_copy)
    assert not done.ran
    assert sorted(done.restored) == sorted(ALL_STAGES)
    assert lock.read_bytes() == before


def test_a_clone_that_pulled_runs_nothing(clone: Path) -> None:
    run(clone, "dvc", "pull")
    done = repro(clone)
    assert not done.ran
    assert not done.restored
    assert sorted(done.unchanged) == sorted(ALL_STAGES)
    assert not changed_files(clone)


def test_without_the_data_set_a_clone_that_pulled_runs_nothing(
    demo_copy: Path, tmp_path: Path
) -> None:
    set_remote(demo_copy, tmp_path / "remote")
    outside = tmp_path / "outside"
    shutil.copytree(demo_copy / "data" / "shapes", outside)
    splits = read_params(demo_copy)["splits"]
    for place in splits.values():
        for key in ("images", "annotations"):
            place[key] = place[key].replace("data/shapes", str(outside))
    change_params(demo_copy, splits=splits)
    again = {"prepare@shapes_train", "prepare@shapes_val", "gallery@shapes_val"}
    assert set(repro(demo_copy).ran) == again
    commit(demo_copy)
    run(demo_copy, "dvc", "push")
    shutil.rmtree(outside)
    root = tmp_path / "clone"
    clone_project(demo_copy, root, remote=tmp_path / "remote")
    run(root, "dvc", "pull")
    done = repro(root, "--allow-missing")
    assert not done.ran
    assert sorted(done.unchanged) == sorted(ALL_STAGES)
    assert (root / "cache" / "objects" / "shapes_val.zarr").is_dir()


def test_without_the_masks_the_page_is_there_and_new_questions_are_answered(clone: Path) -> None:
    before = evaluated_inputs(clone)
    run(clone, "bash", "-ec", WITHOUT_MASKS)
    # Where nothing has changed, what was pulled stays.
    run(clone, "bash", "-ec", THEN)
    assert (clone / "results" / "report.html").is_file()
    change_params(clone, train={"seeds": [1]})
    # The pictures of other heads' objects would need the masks.
    said = run(clone, "bash", "-ec", THEN)
    ran = re.findall(r"^Running stage '(.+)':$", said, re.MULTILINE)
    trained = [f"train@shapes_train-{kind}" for kind in ("paper", "ours")]
    assert ran == [*trained, "evaluate@shapes_val", "report"]
    assert not (clone / "cache" / "masks").exists()
    # The same inputs, for a lock that names a part of them makes others evaluate again.
    assert evaluated_inputs(clone) == before
