"""docs/cluster.md: its job scripts run on a real SLURM, and each fault has a test."""

import ast
import re
import shutil
from pathlib import Path
from typing import Final

import pytest
import yaml

from stages.settings.blocks import ExecutorParams
from stages.settings.parsing import parse
from tests.fixtures import project_copy
from tests.fixtures.doc_pages import CLUSTER, FAULTS, SCRIPTS
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.extract_project import files_of
from tests.fixtures.project_copy import change_params
from tests.fixtures.slurm import Slurm, missing, wait_until

CELL: Final = ("shapes_val", "tiny", "identity")

JOB_S: Final = 600.0
"""Longest wait for a job, which computes beside three processes of tests."""

N_STUDIES: Final = 4

HELD: Final = "held"
"""While there is such a file, no more is extracted once the pool has a shard."""

HOLDING: Final = f"""
extract_at_once = extract_objects

def extract_objects(*arguments, **named):
    import pathlib, time
    pool = pathlib.Path("cache", "pool")
    while pathlib.Path("{HELD}").exists() and any(pool.glob("*/*/[0-9a-f]*.npz")):
        time.sleep(0.01)
    return extract_at_once(*arguments, **named)
"""

YAML: Final = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", YAML.findall(CLUSTER.read_text("utf-8")))
def test_settings_of_the_page_are_valid(block: str) -> None:
    parse("executor", yaml.safe_load(block)["executor"], ExecutorParams)


def all_tests() -> set[str]:
    """Names of all tests."""
    return {
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def test_every_fault_has_a_test_that_is_there() -> None:
    assert FAULTS
    named = {row[-1].strip("`") for row in FAULTS}
    named |= set(re.findall(r"`(test_\w+)`", CLUSTER.read_text("utf-8")))
    assert named - all_tests() == set()
    assert {len(row) for row in FAULTS} == {3}


def test_every_job_script_ends_in_exec_and_may_be_requeued() -> None:
    assert set(SCRIPTS) == {"cell.sh", "fill.sh", "pipeline.sh", "tune.sh"}
    for text in SCRIPTS.values():
        assert text.splitlines()[-1].startswith("exec ")
        for directive in ("--requeue", "--open-mode=append", "--output=logs/slurm/"):
            assert f"#SBATCH {directive}" in text


def test_dvc_runs_on_after_a_job_script_has_mended_its_files(tmp_path: Path) -> None:
    say = {"cmd": "echo 1 >> ran; cp word said", "deps": ["word"], "outs": ["said"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"say": say}}))
    (tmp_path / "word").write_text("hello")
    project_copy.run(tmp_path, "git", "init", "--quiet")
    project_copy.run(tmp_path, "dvc", "init", "--quiet")
    project_copy.repro(tmp_path)
    intact = (tmp_path / "dvc.lock").read_bytes()
    for is_committed in (False, True):
        if is_committed:
            project_copy.commit(tmp_path)
        for torn in (".dvc/tmp/rwlock", "dvc.lock"):
            (tmp_path / torn).write_text("")
        project_copy.run(tmp_path, "bash", "-c", SCRIPTS["pipeline.sh"])
        assert (tmp_path / "dvc.lock").read_bytes() == intact
        assert (tmp_path / "ran").read_text() == "1\n", "the run cache has the stage"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small copy of the project with the scripts of the page, and its drawn images."""
    root = tmp_path_factory.mktemp("cluster") / "project"
    project_copy.copy_project(root, remote=root.parent / "remote")
    change_params(root, models=["tiny"], views={"identity": {}}, train_splits=[])
    for name, text in SCRIPTS.items():
        (root / name).write_text(text)
    (root / "logs" / "slurm").mkdir(parents=True)
    with (root / "stages/extraction/steps.py").open("a") as code:
        code.write(HOLDING)
    project_copy.repro(root, "shapes")
    return root


def submit(slurm: Slurm, root: Path, *arguments: str) -> str:
    """Hand in a job as the page says; its number."""
    # For `usam`: unlike `python -m`, it does not look into the working directory first.
    environment = project_copy.environment(root) | {"PYTHONPATH": str(root)}
    return slurm.run("sbatch", "--parsable", *arguments, cwd=root, environment=environment)


def logs(root: Path) -> str:
    """What all jobs have printed."""
    return "".join(log.read_text() for log in sorted((root / "logs" / "slurm").glob("*.out")))


def wait_for(slurm: Slurm, root: Path, job: str) -> None:
    """Wait until a job has succeeded, with all tasks of an array."""
    going = {"PENDING", "RUNNING", "COMPLETING"}
    wait_until(lambda: not going & set(slurm.state(job).split()), JOB_S)
    assert set(slurm.state(job).split()) == {"COMPLETED"}, logs(root)


def files(*stores: Path) -> dict[str, bytes]:
    """Files of some stores."""
    return {name: data for store in stores for name, data in files_of(store).items()}


def shards_done(root: Path) -> int:
    """Shards in the pool."""
    return len(list((root / "cache" / "pool").glob("*/*/[0-9a-f]*.npz")))


needs_slurm = pytest.mark.skipif(bool(missing()), reason=missing() or "SLURM is there")


@pytest.mark.slow
@needs_slurm
def test_scripts_of_the_page_make_what_is_made_without_slurm(slurm: Slurm, project: Path) -> None:
    cell = [
        project / "cache" / kind / Path(*CELL).with_suffix(".zarr")
        for kind in ("features", "masks")
    ]
    entropies = project / "cache" / "entropy" / "shapes_val.zarr"
    # With no executor of its own, an array fills the cell; DVC finds it whole.
    project_copy.repro(project, "prepare@shapes_val")
    array = submit(slurm, project, "--array=1-2", "fill.sh")
    behind = submit(slurm, project, f"--dependency=afterany:{array}", "cell.sh", *CELL)
    wait_for(slurm, project, array)
    assert logs(project).count("filled 1 shard of 1 cell") == 2
    wait_for(slurm, project, behind)
    published = (project / "logs" / "slurm" / f"cell-{behind}.out").read_text()
    assert "objects/s" not in published  # it had nothing to compute
    by_array = files(*cell)

    jobs = {"memory": "500MB", "cores": 1, "interface": "lo", "max_jobs": 2}
    change_params(project, executor={"kind": "slurm", "slurm": jobs})
    forget(project, cell)
    wait_for(slurm, project, submit(slurm, project, "pipeline.sh", "entropy@shapes_val"))
    by_executor = files(*cell, entropies)
    assert list((project / "logs" / "slurm").glob("usam-entropy-shapes_val-*.err"))

    change_params(project, executor={"kind": "inline"})
    forget(project, cell)
    stages = (f"extract@{'-'.join(CELL)}", "entropy@shapes_val")
    project_copy.repro(project, "--force", "--single-item", *stages)
    assert files(*cell, entropies) == by_executor
    assert files(*cell) == by_array


def forget(root: Path, cell: list[Path]) -> None:
    """Remove a cell, its shards, and what DVC keeps of it."""
    for folder in (*cell, root / "cache" / "pool", root / ".dvc" / "cache"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@needs_slurm
def test_studies_of_an_array_run_side_by_side_in_one_clone(slurm: Slurm, project: Path) -> None:
    change_params(project, train_splits=["shapes_train"], models=list(project_copy.FEW_MODELS))
    project_copy.repro(project, "prepare@shapes_train")
    # Without trials, a study reads no features, but DVC wants them there.
    (project / "cache" / "features" / "shapes_train").mkdir(parents=True, exist_ok=True)
    wait_for(slurm, project, submit(slurm, project, f"--array=1-{N_STUDIES}", "tune.sh"))
    printed = [log.read_text() for log in (project / "logs" / "slurm").glob("tune-*.out")]
    assert len(printed) == N_STUDIES
    assert "ERROR" not in "".join(printed)
    studies = [f"tune@shapes_train-{name}" for name in project_copy.FEW_OBJECTIVES[:N_STUDIES]]
    done = project_copy.repro(project, "--single-item", *studies)
    assert (done.ran, len(done.unchanged)) == ([], N_STUDIES)
    change_params(project, train_splits=[], models=["tiny"])


@pytest.mark.slow
@needs_slurm
def test_an_array_that_is_stopped_goes_on_where_it_was(slurm: Slurm, project: Path) -> None:
    forget(project, [])
    project_copy.repro(project, "prepare@shapes_val")
    change_params(project, views={"identity": {}, "vflip": {}, "hflip": {}, "gray": {}})
    (project / HELD).touch()
    array = submit(slurm, project, "--array=1-1", "fill.sh")
    wait_until(lambda: shards_done(project), JOB_S)
    # As SLURM does two minutes before the end of the job's time.
    slurm.run("scancel", "--signal=USR1", "--batch", array)
    wait_for(slurm, project, array)
    (project / HELD).unlink()
    printed = "stopped by SIGUSR1: finished shards are kept in cache/pool; run it again"
    assert printed in logs(project)
    wait_for(slurm, project, submit(slurm, project, "--array=1-1", "fill.sh"))
