"""Prepares a release in its workflow: ``python -m tools.release v0.1.0 [ADDRESS]``.

Reads   ``pyproject.toml``, ``CITATION.cff``, ``CHANGELOG.md``, ``README.md``.
Writes  the notes of the release to the standard output. With the ADDRESS of the repository, the
        links of the notes and of ``README.md`` lead there, since the package index has no other
        files, and ``pyproject.toml`` names it, so that the index links to the source.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Final

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


LINK: Final = re.compile(r"(!?\[[^\]]*\])\((?!\w+:)([^)\s]*)\)")
"""A link or an image in Markdown whose target is not an address."""


def with_addresses(text: str, page: str, tree: str) -> str:
    """Let the links of a page lead to the files of a repository.

    Parameters
    ----------
    page
        Path of the page, to which links such as ``#try-it`` lead.
    tree
        Address of the repository with ``{}`` for the kind of view, such as
        ``https://github.com/ann/usam/{}/v0.1.0``.
    """

    def absolute(link: re.Match[str]) -> str:
        label, target = link.groups()
        kind = "raw" if label.startswith("!") else "blob"
        path = f"{page}{target}" if target.startswith("#") else target
        return f"{label}({tree.format(kind)}/{path})"

    return LINK.sub(absolute, text)


def main(root: Path, tag: str, address: str = "") -> None:
    """Print the notes; with the address of the repository, change README and pyproject.toml."""
    notes = release_notes(root, tag)
    if address:
        tree = f"{address}/{{}}/{tag}"
        notes = with_addresses(notes, "CHANGELOG.md", tree)
        readme = root / "README.md"
        readme.write_text(with_addresses(readme.read_text("utf-8"), readme.name, tree), "utf-8")
        project = root / "pyproject.toml"
        before, urls, after = project.read_text("utf-8").partition("[project.urls]\n")
        project.write_text(f'{before}{urls}Source = "{address}"\n{after}', "utf-8")
    print(notes)


if __name__ == "__main__":
    main(Path(), *sys.argv[1:])
