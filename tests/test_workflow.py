"""The GitHub workflow runs what ``.ci/run`` runs anywhere, with no more rights than it needs."""

import os
from typing import Any, Final

import pytest
import yaml

from tests.fixtures.dvc_stages import ROOT

WORKFLOW: Final[dict[Any, Any]] = yaml.safe_load(
    (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
)
(JOB,) = WORKFLOW["jobs"].values()


def test_it_runs_ci_run_on_a_clean_checkout() -> None:
    actions = [step["uses"].partition("@")[0] for step in JOB["steps"] if "uses" in step]
    assert actions == ["actions/checkout", "actions/setup-python"]
    assert [step["run"] for step in JOB["steps"] if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_it_may_only_read_and_takes_no_more_than_90_minutes() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in JOB
    assert JOB["timeout-minutes"] == 90


def test_it_installs_under_the_python_of_the_constraints_and_the_newest_of_readme() -> None:
    (setup,) = (step["with"] for step in JOB["steps"] if "setup-python" in step.get("uses", ""))
    assert setup["cache"] == "pip"
    assert setup["python-version"] == "${{ matrix.python }}"
    oldest, newest = JOB["strategy"]["matrix"]["python"]
    header = (ROOT / setup["cache-dependency-path"]).read_text("utf-8").partition("\n")[0]
    assert f"Python {oldest}." in header
    assert f"Python {oldest} to {newest}, " in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("event", ["push", "pull_request"])
def test_it_runs_on_every_change(event: str) -> None:
    assert event in WORKFLOW[True]  # what YAML 1.1 makes of `on`
