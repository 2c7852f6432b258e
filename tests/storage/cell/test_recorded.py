"""What DVC has is read from its own files, however PyYAML was built."""

from pathlib import Path

import pytest
import yaml

from storage.cell.recorded import recorded_listings

LOCK = """\
schema: '2.0'
stages:
  extract@val-tiny-identity:
    cmd: python -m stages.extract val tiny identity
    outs:
    - path: cache/features/val/tiny/identity.zarr
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
    - path: results/runtime.csv
      size: 3
  report:
    cmd: python -m stages.report
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "dvc.lock"
    path.write_text(LOCK, "utf-8")
    return path


def without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.mark.parametrize("has_libyaml", [True, False])
def test_listings_are_read_with_and_without_libyaml(
    lock: Path, monkeypatch: pytest.MonkeyPatch, *, has_libyaml: bool
) -> None:
    if not has_libyaml:
        without_libyaml(monkeypatch)
    features = "cache/features/val/tiny/identity.zarr"
    assert recorded_listings(lock) == {features: "0123456789abcdef0123456789abcdef.dir"}


@pytest.mark.parametrize(
    "text",
    ["", "- a list", "stages: [", "stages: {report: {outs: [{}]}}", "stages: {report: null}"],
)
def test_a_lock_that_dvc_did_not_write_records_nothing(lock: Path, text: str) -> None:
    lock.write_text(text, "utf-8")
    assert recorded_listings(lock) == {}
    lock.unlink()
    assert recorded_listings(lock) == {}
