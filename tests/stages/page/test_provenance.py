"""Which commit the page names."""

import os
import subprocess
from pathlib import Path

import pytest

from stages.page.render import N_SHA_DIGITS, Commit, last_commit

DATES = ("2024-02-29T12:00:00Z", "2025-05-08T12:00:00Z")


def _git(root: Path, *arguments: str, date: str = DATES[0]) -> str:
    person = ("-c", "user.name=A", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *person, *arguments],
        cwd=root,
        env=os.environ | {"GIT_COMMITTER_DATE": date},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository whose first commit has code and settings."""
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "auc.py").write_text("")
    (tmp_path / "params.yaml").write_text("models: [tiny]\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "--message", "code")
    return tmp_path


def test_the_commit_has_its_own_date(clone: Path) -> None:
    sha = _git(clone, "rev-parse", "HEAD")[:N_SHA_DIGITS]
    assert last_commit(clone) == Commit(sha, "2024-02-29", ())


def test_a_commit_of_anything_else_changes_nothing(clone: Path) -> None:
    before = last_commit(clone)
    for name in ("dvc.lock", "README.md"):
        (clone / name).write_text("new")
        assert last_commit(clone) == before
        _git(clone, "add", ".")
        _git(clone, "commit", "--quiet", "--message", name, date=DATES[1])
        assert last_commit(clone) == before


def test_files_that_differ_from_the_commit_are_named(clone: Path) -> None:
    (clone / "params.yaml").write_text("models: [large]\n")
    (clone / "pipeline" / "neue Größe.py").write_text("")
    found = last_commit(clone)
    assert found is not None
    assert found.changed == ("params.yaml", "pipeline/neue Größe.py")
    _git(clone, "add", ".")
    assert last_commit(clone) == found


def test_outside_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert last_commit(tmp_path) is None


def test_without_git_there_is_no_commit(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert last_commit(clone) is None
