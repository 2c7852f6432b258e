"""The versions that DVC reads are those of the code."""

from pathlib import Path

import pytest

from stages.settings import versions
from stages.settings.parsing import ParamsError
from stages.settings.versions import VERSIONS, VERSIONS_FILE, check_versions, version_entry
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.settings import write_versions


def test_the_versions_of_the_project_are_those_of_its_code() -> None:
    check_versions(ROOT / VERSIONS_FILE)


@pytest.mark.parametrize("stage", [*VERSIONS, "shapes"])
def test_another_version_is_refused_and_both_are_named(stage: str, tmp_path: Path) -> None:
    write_versions(tmp_path, **{stage: 99})
    wanted = ", ".join(f"{name}: {version}" for name, version in VERSIONS.items())
    message = rf"must be {wanted}, the versions of what this code computes, got .*{stage}: 99"
    with pytest.raises(ParamsError, match=rf"versions\.yaml {message}"):
        check_versions(tmp_path / VERSIONS_FILE)


def test_a_first_version_is_left_unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    assert version_entry("extract") == {"extract_version": VERSIONS["extract"]}
    monkeypatch.setattr(versions, "VERSIONS", {"tune": 1, "train": 2})
    assert version_entry("tune") == {}
    assert version_entry("train") == {"train_version": 2}
