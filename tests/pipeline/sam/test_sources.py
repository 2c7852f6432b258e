"""The installed ``sam2`` is Meta's code, whoever uploaded the package."""

import csv
import hashlib
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).with_name("sam2_sources.csv")
"""Digests of the Python and YAML files of facebookresearch/sam2 at commit 2b90b9f."""


def digests(listed: set[str]) -> dict[str, str]:
    """Of what Python or SAM2 could read of the installed package, by file."""
    found = {}
    for file in distribution("sam2").files or ():
        path = Path(str(file.locate()))
        name = file.as_posix().removeprefix("sam2/")
        if file.parts[0] == "sam2" and (name in listed or path.suffix not in {".pyc", ".cu"}):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_the_installed_sam2_has_metas_files_and_no_code_of_others() -> None:
    with SOURCES.open(newline="") as table:
        listed = {line["file"]: line["sha256"] for line in csv.DictReader(table)}
    found = digests(set(listed))
    assert {name: found.get(name) for name in listed} == listed
    # Meta's repository has links to the settings of its first models at the top, too.
    names = [f"sam2_hiera_{size}.yaml" for size in ("t", "s", "b+", "l")]
    links = {name: f"configs/sam2/{name}" for name in names}
    assert {name: found[name] for name in found.keys() - listed.keys()} == {
        name: listed[target] for name, target in links.items()
    }


def test_its_licences_are_those_that_our_docs_name() -> None:
    licences = {
        Path(str(file)).name: Path(str(file.locate())).read_text("utf-8")
        for file in distribution("sam2").files or ()
        if "licenses" in file.parts
    }
    assert set(licences) == {"LICENSE", "LICENSE_cctorch"}
    assert "Apache License" in licences["LICENSE"]
    assert "Redistribution and use in source and binary forms" in licences["LICENSE_cctorch"]
