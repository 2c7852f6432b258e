"""``constraints.txt`` pins what the project needs, and ``make`` installs by it."""

import re
import subprocess
import tomllib
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.fixtures.dvc_stages import ROOT

LINES: Final = [
    line
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]

PINS: Final = {
    canonicalize_name(name): version
    for name, _, version in (line.partition("==") for line in LINES)
}


def direct_requirements() -> list[str]:
    """What pyproject.toml asks for: to run, to develop and to build."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    project = declared["project"]
    developers = project["optional-dependencies"]["dev"]
    return [*project["dependencies"], *developers, *declared["build-system"]["requires"]]


def test_every_line_is_a_name_and_a_public_version() -> None:
    # No address, hash, marker or local version: they hold wherever packages come from.
    assert [line for line in LINES if not re.fullmatch(r"[\w.-]+==\d[\w.]*", line, re.ASCII)] == []


def test_names_are_sorted_and_stand_once() -> None:
    assert sorted(LINES, key=str.upper) == LINES
    assert len(PINS) == len(LINES)


@pytest.mark.parametrize("requirement", direct_requirements())
def test_a_direct_dependency_is_pinned_within_its_range(requirement: str) -> None:
    wanted = Requirement(requirement)
    pinned = PINS.get(canonicalize_name(wanted.name))
    assert pinned is not None, "make constraints lists it"
    assert wanted.specifier.contains(pinned), f"{requirement} must allow {pinned}"


def test_make_installs_by_it_and_by_nothing_where_told_so() -> None:
    assert "pip install -c constraints.txt -e '.[dev]'" in made(".venv")
    newest = made(".venv", "CONSTRAINTS=")
    assert "pip install  -e '.[dev]'" in newest
    assert "constraints.txt" not in newest


def made(*arguments: str) -> str:
    """Commands that make would run."""
    command = ["make", "--dry-run", "--always-make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
