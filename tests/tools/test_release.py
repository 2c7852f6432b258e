"""Notes of a release: the newest section of the changelog, if all versions agree."""

import shutil
import tomllib
from pathlib import Path

import pytest

from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.environments import PYPROJECT
from tools.release import LINK, main, release_notes

VERSION = PYPROJECT["project"]["version"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The project's versions, the newest of them with a date and an earlier one."""
    for name in ("pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    changelog = (
        f"# Changelog\n\n## {VERSION} (2030-01-31)\n\nNew.\n\n## 0.0.1 (2029-01-01)\n\nOld.\n"
    )
    (tmp_path / "CHANGELOG.md").write_text(changelog, "utf-8")
    return tmp_path


def test_the_notes_are_the_newest_section_of_the_changelog(root: Path) -> None:
    assert release_notes(root, f"v{VERSION}") == "New."


@pytest.mark.parametrize(
    ("file", "former", "changed"),
    [
        ("CITATION.cff", f"version: {VERSION}", "version: 0.0.1"),
        ("pyproject.toml", f'version = "{VERSION}"', 'version = "0.0.1"'),
        ("CHANGELOG.md", "2030-01-31", "unreleased"),
        ("CHANGELOG.md", f"## {VERSION} ", "## 0.0.2 "),
    ],
)
def test_versions_that_disagree_are_refused(
    root: Path, file: str, former: str, changed: str
) -> None:
    text = (root / file).read_text("utf-8")
    assert former in text
    (root / file).write_text(text.replace(former, changed), "utf-8")
    with pytest.raises(SystemExit, match="must have one version, the last with a date, got v"):
        release_notes(root, f"v{VERSION}")


def test_links_lead_to_the_repository(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "README.md", root)
    changelog = root / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text().replace("New.", "New: [docs](docs/a.md#b)."), "utf-8"
    )
    main(root, f"v{VERSION}", "https://host/ann/usam")

    tree = f"https://host/ann/usam/{{}}/v{VERSION}"
    assert capsys.readouterr().out == f"New: [docs]({tree.format('blob')}/docs/a.md#b).\n"
    readme = (root / "README.md").read_text("utf-8")
    assert LINK.findall((ROOT / "README.md").read_text("utf-8"))
    assert not LINK.findall(readme)
    for target in ("raw/{}/docs/curves.svg", "blob/{}/README.md#what-the-results-say"):
        assert f"](https://host/ann/usam/{target.format(f'v{VERSION}')})" in readme
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert project == PYPROJECT["project"] | {
        "urls": {"Source": "https://host/ann/usam", **PYPROJECT["project"]["urls"]}
    }
