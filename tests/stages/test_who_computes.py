"""A stage writes the same bytes, whichever executor computes its tasks."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from threadpoolctl import threadpool_limits

from stages.executor import workers as dask_workers
from stages.executor.tasks import Run
from stages.settings.blocks import ExecutorParams
from tests.fixtures.dask_daemons import running_dask
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.slurm import Slurm, missing
from tests.fixtures.stage_inputs import CASES

pytestmark = pytest.mark.slow

STAGES: Final = ("train", "tune")

BY_JOBS: Final = ("train",)
"""Stages that are computed by jobs of SLURM here; their workers only start differently."""

JOBS: Final = {"memory": "500MB", "cores": 1, "interface": "lo", "min_jobs": 2, "max_jobs": 2}

Block = dict[str, Any]
"""The setting ``executor``."""


@dataclass(frozen=True)
class Alone:
    """Stages that have computed alone, and what they read."""

    root: Path
    params: dict[str, Any]
    """Settings of each."""
    made: dict[str, dict[str, bytes]]
    """What each has made, which is as before."""

    def write_params(self, name: str, executor: Block) -> None:
        """Settings of a stage that others compute, into the working directory."""
        Path("params.yaml").write_text(yaml.safe_dump(self.params[name] | {"executor": executor}))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As the stages that these tests start, whatever NumPy found when this process began."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    """Every stage by itself."""
    found = Alone(tmp_path_factory.mktemp("alone"), {}, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found.root)
        for name in STAGES:
            case = CASES[name]
            case.write()
            before = case.files()
            found.params[name] = yaml.safe_load(Path("params.yaml").read_text())
            found.made[name] = case.run(patch)
            shutil.rmtree(case.outputs_dir)
            for file, data in before.items():  # which another stage may read
                Path(file).parent.mkdir(parents=True, exist_ok=True)
                Path(file).write_bytes(data)
            assert found.made[name] != before
    return found


@pytest.fixture
def project(alone: Alone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what they read."""
    return Path(shutil.copytree(alone.root, tmp_path_factory.mktemp("project") / "root"))


def test_workers_at_an_address_write_the_bytes_of_inline(
    project: Path, alone: Alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    asked = noted_executors(monkeypatch)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with running_dask(tmp_path, project, environment) as dask:
        for name in STAGES:
            alone.write_params(name, {"kind": "address", "address": dask.address})
            assert CASES[name].run(monkeypatch) == alone.made[name], name
    assert asked == ["address"] * len(STAGES)


@pytest.mark.skipif(bool(missing()), reason=missing() or "SLURM is there")
def test_jobs_of_slurm_write_the_bytes_of_inline(
    slurm: Slurm, project: Path, alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for name in BY_JOBS:
        alone.write_params(name, {"kind": "slurm", "slurm": JOBS})
        # As DVC does: a function of the stage's own file would be unknown to workers.
        command = (sys.executable, "-m", f"stages.{name}", *CASES[name].arguments)
        slurm.run(*command, cwd=project, environment=environment)
        assert CASES[name].files() == alone.made[name], name
    assert len(list(Path("logs/slurm").glob("usam-*.err"))) >= len(BY_JOBS)


def noted_executors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Kinds of the executors whose workers a stage asks for, once it has."""
    asked: list[str] = []
    dask_executor = dask_workers.dask_executor

    def noted(params: ExecutorParams, name: str, *, uses_gpu: bool) -> AbstractContextManager[Run]:
        asked.append(params.kind)
        return dask_executor(params, name, uses_gpu=uses_gpu)

    monkeypatch.setattr(dask_workers, "dask_executor", noted)
    return asked
