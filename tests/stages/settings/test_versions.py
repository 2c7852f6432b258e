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


@pytest.mark.parametrize("stage", VERSIONS)
def test_another_version_is_refused_by_the_name_of_its_stage(stage: str, tmp_path: Path) -> None:
    write_versions(tmp_path, **{stage: 9})
    message = rf"{stage} must be {VERSIONS[stage]}, the version of what this code computes, got 9$"
    with pytest.raises(ParamsError, match=rf"versions\.yaml: {message}"):
        check_versions(tmp_path / VERSIONS_FILE)


@pytest.mark.parametrize("text", ["tune: true", "tune: '1'", "tune: 1.0"])
def test_a_version_is_a_whole_number(text: str, tmp_path: Path) -> None:
    path = tmp_path / VERSIONS_FILE
    others = "".join(f"{name}: {VERSIONS[name]}\n" for name in ("extract", "entropy", "train"))
    path.write_text(f"{others}{text}\n", "utf-8")
    with pytest.raises(ParamsError, match="tune must be 1"):
        check_versions(path)


def test_a_stage_too_many_is_named(tmp_path: Path) -> None:
    write_versions(tmp_path, shapes=1)
    with pytest.raises(
        ParamsError, match=r"must have the keys extract, .*, got extract, .*, shapes"
    ):
        check_versions(tmp_path / VERSIONS_FILE)


def test_a_first_version_is_left_unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    assert version_entry("extract") == {"extract_version": VERSIONS["extract"]}
    monkeypatch.setattr(versions, "VERSIONS", {"tune": 1, "train": 2})
    assert version_entry("tune") == {}
    assert version_entry("train") == {"train_version": 2}
