"""What the package says of itself: version, authors, paper, licence, types, public names."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

import usam_cache
from tests.fixtures.dvc_stages import PACKAGES, ROOT
from tests.fixtures.environments import PYPROJECT

PROJECT: Final = PYPROJECT["project"]

CITATION: Final[dict[str, Any]] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))

PAPER: Final = CITATION["preferred-citation"]


def test_the_citation_is_of_this_version_and_its_authors() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]
    assert f"Copyright 2026 {PROJECT['authors'][0]['name']}" in (ROOT / "LICENSE").read_text(
        "utf-8"
    )


def test_the_paper_is_that_of_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    fields = dict(re.findall(r"^  (\w+) += \{(.+)\},?$", readme, re.MULTILINE))
    names = [f"{one['family-names']}, {one['given-names']}" for one in PAPER["authors"]]
    assert fields == {
        "title": PAPER["title"],
        "author": " and ".join(names),
        "booktitle": PAPER["collection-title"],
        "year": str(PAPER["year"]),
    }
    assert PAPER["url"] == PROJECT["urls"]["Paper"]
    assert f"]({PAPER['url']})" in readme


def test_versions_of_python_are_those_that_readme_names() -> None:
    listed = [line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if "Python" in line]
    assert PROJECT["requires-python"] == f">={listed[0]}"
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"Python {listed[0]} to {listed[-1]}, " in readme


def test_every_package_ships_its_types() -> None:
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").is_file()] == []


def test_every_public_name_is_there_and_documented() -> None:
    assert set(usam_cache.__all__) == usam_cache.READING.keys() | usam_cache.PREDICTING.keys()
    assert dir(usam_cache) == sorted(usam_cache.__all__)
    for name in usam_cache.__all__:
        assert (getattr(usam_cache, name).__doc__ or "").strip(), name


def test_a_type_checker_knows_the_public_names_and_no_others(tmp_path: Path) -> None:
    program = tmp_path / "reader.py"
    names = ", ".join(usam_cache.__all__)
    program.write_text(
        f"from usam_cache import {names}\n"
        "reveal_type(correction_auc)\n"
        "reveal_type(load_predictor)\n"
        "from usam_cache import open_nothing\n",
        "utf-8",
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}", str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in checked.stdout.splitlines() if "error:" in line]
    assert len(errors) == 1, checked.stdout
    assert 'has no attribute "open_nothing"' in errors[0]
    assert "-> pipeline.auc.CorrectionAuc" in checked.stdout
    assert "-> pipeline.predictor.predictor.UncertainPredictor" in checked.stdout
