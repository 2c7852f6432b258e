"""``make`` installs by ``constraints.txt``."""

import re
import subprocess
from typing import Final

import pytest
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
