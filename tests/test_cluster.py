"""docs/cluster.md: its job scripts run on a real SLURM, and each fault has a test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from stages.shell.blocks import ExecutorParams
from stages.shell.parsing import parse
from tests.fixtures import project_copy
from tests.fixtures.cluster_page import FAULTS, PAGE, SCRIPTS
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.slurm import Slurm, missing, running_slurm, wait_until

CELL: Final = ("shapes_val", "tiny", "identity")

JOB_S: Final = 120.0

YAML: Final = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", YAML.findall(PAGE.read_text("utf-8")))
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
    assert named - all_tests() == set()
    assert {len(row) for row in FAULTS} == {5}


def test_every_job_script_ends_in_exec_and_may_be_requeued() -> None:
    assert set(SCRIPTS) == {"cell.sh", "pipeline.sh"}
    for text in SCRIPTS.values():
        assert text.splitlines()[-1].startswith("exec ")
        for directive in ("--requeue", "--open-mode=append", "--output=logs/slurm/"):
            assert f"#SBATCH {directive}" in text


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A SLURM of two nodes."""
    with running_slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small copy of the project with the scripts of the page, and its drawn images."""
    root = tmp_path_factory.mktemp("cluster") / "project"
    project_copy.copy_project(root, remote=root.parent / "remote")
    settings(root, models=["tiny"], views={"identity": {}}, train_splits=[])
    for name, text in SCRIPTS.items():
        (root / name).write_text(text)
    (root / "logs" / "slurm").mkdir(parents=True)
    project_copy.repro(root, "shapes")
    return root


def settings(root: Path, **changes: Any) -> None:  # noqa: ANN401 - any setting
    """Change settings of a copy."""
    project_copy.write_params(root, project_copy.read_params(root) | changes)


def submit(slurm: Slurm, root: Path, *arguments: str) -> None:
    """Hand in a job as the page says, and wait until it is done."""
    command = ("sbatch", "--parsable", *arguments)
    job = slurm.run(*command, cwd=root, environment=project_copy.environment(root))
    wait_until(lambda: slurm.state(job) not in {"PENDING", "RUNNING", "COMPLETING"}, JOB_S)
    (log,) = (root / "logs" / "slurm").glob(f"*-{job}.out")
    assert slurm.state(job) == "COMPLETED", log.read_text()


def files(store: Path) -> dict[str, bytes]:
    """Files of a store."""
    found = {str(path): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert found
    return found


@pytest.mark.slow
@pytest.mark.skipif(bool(missing()), reason=missing() or "SLURM is there")
def test_scripts_of_the_page_make_what_is_made_without_slurm(slurm: Slurm, project: Path) -> None:
    submit(slurm, project, "cell.sh", *CELL)
    assert (project / "cache" / "masks" / Path(*CELL).with_suffix(".zarr")).is_dir()

    jobs = {"memory": "500MB", "cores": 1, "interface": "lo", "max_jobs": 2}
    settings(project, executor={"kind": "slurm", "slurm": jobs})
    submit(slurm, project, "pipeline.sh", "entropy@shapes_val")
    entropies = project / "cache" / "entropy" / "shapes_val.zarr"
    on_slurm = files(entropies)
    assert list((project / "logs" / "slurm").glob("usam-worker-*.err"))

    settings(project, executor={"kind": "inline"})
    done = project_copy.repro(project, "entropy@shapes_val")
    assert done.ran == []  # who computes is no reason to run
    project_copy.repro(project, "--force", "--single-item", "entropy@shapes_val")
    assert files(entropies) == on_slurm
