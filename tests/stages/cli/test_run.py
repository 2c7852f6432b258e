"""``usam run``: what DVC would run, without DVC."""

import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from dvc.repo import Repo
from typer.testing import CliRunner, Result

from stages.cli.app import app
from stages.cli.run import steps_of
from stages.settings.parsing import ParamsError, read_yaml
from tests.fixtures.dvc_stages import DECLARED, ROOT
from tests.fixtures.project_copy import TIMEOUT_S, start

SETTINGS = ("params.yaml", "params/results.yaml", "params/paper.yaml", "params/coco.yaml")

TWO = """
stages:
  first:
    matrix: {split: "${eval_splits}"}
    cmd: ["python first.py ${item}"]
  second:
    cmd: python second.py
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two stages that only note that they ran."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    for name in ("params.yaml", "versions.yaml"):
        shutil.copy(ROOT / name, root)
    (root / "dvc.yaml").write_text(TWO, "utf-8")
    noted = "import sys; open('ran', 'a').write(' '.join(sys.argv) + '\\n')\n"
    for name in ("first.py", "second.py"):
        (root / name).write_text(noted, "utf-8")
    return root


def usam_run(*stages: str) -> Result:
    return CliRunner().invoke(app, ["run", *stages])


@pytest.mark.no_cover
@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of DVC's pygtrie
@pytest.mark.parametrize("settings", SETTINGS)
def test_steps_are_those_of_dvc_each_after_what_it_reads(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    shutil.copy(ROOT / settings, tmp_path / "params.yaml")
    repo = Repo.init(no_scm=True)
    declared = {stage.addressing: stage for stage in repo.index.stages}
    graph = repo.index.graph
    steps = list(steps_of(DECLARED, read_yaml(tmp_path / "params.yaml")))
    assert {step.name: step.commands for step in steps} == {
        name: tuple(
            tuple(shlex.split(line))
            for line in ([stage.cmd] if isinstance(stage.cmd, str) else stage.cmd)
        )
        for name, stage in declared.items()
    }
    done: set[str] = set()
    for step in steps:
        assert {other.addressing for other in graph.successors(declared[step.name])} <= done
        done.add(step.name)
    repo.close()


def test_a_name_meets_no_shell() -> None:
    (step,) = steps_of({"stages": {"s": {"matrix": {"a": ["; rm 'x"]}, "cmd": "c ${item}"}}}, {})
    assert step.commands == (("c", "--a", "; rm 'x"),)


def test_a_command_that_asks_for_more_than_its_row_is_refused() -> None:
    pipeline = {"stages": {"s": {"matrix": {"a": ["x"]}, "cmd": "c ${tune.seed}"}}}
    with pytest.raises(ParamsError, match=r"^command of s@x in dvc.yaml must ask for .* got \$"):
        list(steps_of(pipeline, {"tune": {"seed": 0}}))


@pytest.mark.parametrize(
    ("stages", "ran"),
    [
        ((), ["first.py --split shapes_val", "second.py"]),
        (("second", "first"), ["first.py --split shapes_val", "second.py"]),
        (("first@*_val",), ["first.py --split shapes_val"]),
    ],
)
def test_stages_run_in_order(project: Path, stages: tuple[str, ...], ran: list[str]) -> None:
    done = usam_run(*stages)
    assert done.exit_code == 0, done.output
    assert (project / "ran").read_text("utf-8").splitlines() == ran


def test_a_stage_that_nobody_declares_is_refused(project: Path) -> None:
    done = usam_run("first", "third")
    assert (done.exit_code, (project / "ran").exists()) == (1, False)
    assert done.stderr == "error: STAGE must name stages of dvc.yaml, got third\n"


def test_the_first_that_fails_ends_it(project: Path) -> None:
    (project / "first.py").write_text("raise SystemExit(3)", "utf-8")
    done = usam_run()
    assert (done.exit_code, (project / "ran").exists()) == (1, False)
    assert done.stderr == "error: stage first@shapes_val must end with status 0, got 3\n"


def test_a_signal_ends_the_stage_that_runs(project: Path) -> None:
    (project / "first.py").write_text(
        "import os, time; open('pid', 'w').write(str(os.getpid())); os.rename('pid', 'of')\n"
        "time.sleep(60)",
        "utf-8",
    )
    process = start(project, sys.executable, "-m", "stages.cli", "run")
    while not (project / "of").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert stderr.startswith("stopped by SIGTERM: outputs of finished stages")
    with pytest.raises(ProcessLookupError):
        os.kill(int((project / "of").read_text("utf-8")), 0)
