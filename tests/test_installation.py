"""``make`` installs by ``constraints.txt``, and the workflow runs ``.ci/run`` as anyone does."""

import os
import re
import subprocess
from typing import Any, Final

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.environments import EXTRAS, PYPROJECT, direct_requirements

LINES: Final = [
    line
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]

PINS: Final = {
    canonicalize_name(name): version
    for name, _, version in (line.partition("==") for line in LINES)
}


WANTED: Final = [
    *direct_requirements("dev"),
    *map(Requirement, PYPROJECT["build-system"]["requires"]),
]
"""What pyproject.toml asks for: to run, to develop and to build."""


def test_every_line_is_a_name_and_a_public_version() -> None:
    # No address, hash, marker or local version: they hold wherever packages come from.
    assert [line for line in LINES if not re.fullmatch(r"[\w.-]+==\d[\w.]*", line, re.ASCII)] == []


def test_names_are_sorted_and_stand_once() -> None:
    assert sorted(LINES, key=str.upper) == LINES
    assert len(PINS) == len(LINES)


def test_developers_have_every_extra() -> None:
    assert {requirement.name for extra in EXTRAS for requirement in direct_requirements(extra)} == {
        requirement.name for requirement in direct_requirements("dev")
    }


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_a_direct_dependency_is_pinned_within_its_range(wanted: Requirement) -> None:
    pinned = PINS.get(canonicalize_name(wanted.name))
    assert pinned is not None, "make constraints lists it"
    assert wanted.specifier.contains(pinned), f"{wanted} must allow {pinned}"


def test_make_installs_by_it_and_by_nothing_where_told_so() -> None:
    assert "pip install -c constraints.txt -e '.[dev]'" in made(".venv")
    newest = made(".venv", "CONSTRAINTS=")
    assert "pip install  -e '.[dev]'" in newest
    assert "constraints.txt" not in newest


def made(*arguments: str) -> str:
    """Commands that make would run."""
    command = ["make", "--dry-run", "--always-make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


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
