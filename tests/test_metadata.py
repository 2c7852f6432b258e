"""What the package says of itself: version, authors, licence, types, names, what it needs."""

import json
import re
from typing import Any, Final, assert_type

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import usam_cache
from pipeline.predictor.uncertain_generator import UncertainMaskGenerator
from pipeline.scoring.auc import CorrectionAuc
from tests.fixtures.dvc_stages import PACKAGES, ROOT
from tests.fixtures.environments import EXTRAS, PYPROJECT, direct_requirements

PROJECT: Final = PYPROJECT["project"]

CITATION: Final[dict[str, Any]] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))

ZENODO: Final[dict[str, Any]] = json.loads((ROOT / ".zenodo.json").read_text("utf-8"))
"""What Zenodo takes for the record of a release; it has the version from the tag."""


OF_CODE = PROJECT["license"].removesuffix(" AND LicenseRef-mini-photos")
"""Licence of the code and of all files but the weights and heads of one family."""


def test_the_citation_is_of_this_version_and_its_authors() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["license"] == OF_CODE
    assert CITATION["authors"] == PROJECT["authors"] == ZENODO["creators"]
    assert [ZENODO[key] for key in ("title", "license")] == [PROJECT["name"], OF_CODE]
    assert ZENODO["keywords"] == PROJECT["keywords"]
    assert f"Copyright 2026 {PROJECT['authors'][0]['name']}" in (ROOT / "LICENSE").read_text(
        "utf-8"
    )


def test_every_package_ships_its_types() -> None:
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").is_file()] == []


def test_every_public_name_is_there_and_documented() -> None:
    assert usam_cache.__version__ == PROJECT["version"]
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
