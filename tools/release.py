"""``python -m tools.release v0.1.0``: prints the notes of a release for its workflow."""

import re
import sys
import tomllib
from pathlib import Path

import yaml


def release_notes(root: Path, tag: str) -> str:
    """Section of CHANGELOG.md about the version of a tag, without its heading.

    Raises
    ------
    SystemExit
        If the tag is not the version of pyproject.toml and CITATION.cff, or the first heading of
        CHANGELOG.md is of another version or has no date.
    """
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))["version"]
    text = (root / "CHANGELOG.md").read_text("utf-8")
    heading, notes = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[0]
    expected = re.escape(version) + r" \(\d{4}-\d\d-\d\d\)"
    if tag != f"v{version}" or citation != version or not re.fullmatch(expected, heading):
        raise SystemExit(
            f"tag, pyproject.toml, CITATION.cff and CHANGELOG.md must have one version, the last "
            f"with a date, got {tag}, {version}, {citation}, {heading}"
        )
    return str(notes).strip()


if __name__ == "__main__":
    print(release_notes(Path(), *sys.argv[1:]))
