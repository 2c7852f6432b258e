"""What the package says of itself: version, authors, paper, licence, types, public names."""

import re
from typing import Any, Final, assert_type

import numpy as np
import pytest
import yaml

import usam_cache
from pipeline.predictor.everything import UncertainMaskGenerator
from pipeline.scoring.auc import CorrectionAuc
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


def test_a_type_checker_knows_the_public_names_and_no_others() -> None:
    # `make lint` runs it, strictly: it refuses a type that differs, and an ignore without need.
    iou = np.array([0.2, 0.9])
    assert_type(usam_cache.correction_auc(iou, iou, iou), CorrectionAuc)
    assert_type(usam_cache.UncertainMaskGenerator, type[UncertainMaskGenerator])
    with pytest.raises(AttributeError, match="has no attribute 'open_nothing'"):
        usam_cache.open_nothing  # type: ignore[attr-defined]  # noqa: B018
