"""What DVC has is read from its own files, however PyYAML was built, and damage in it is mended."""

import hashlib
import stat
from pathlib import Path

import pytest
import yaml

from storage.pool.dvc_cache import mend_cache, recorded_listings

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


@pytest.mark.parametrize("has_libyaml", [True, False])
def test_listings_are_read_with_and_without_libyaml(
    lock: Path, monkeypatch: pytest.MonkeyPatch, *, has_libyaml: bool
) -> None:
    if not has_libyaml:
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    features = "cache/features/val/tiny/identity.zarr"
    assert recorded_listings(lock) == {features: "0123456789abcdef0123456789abcdef.dir"}


@pytest.mark.parametrize("text", ["", "- a list", "stages: [", "stages: {report: null}"])
def test_a_lock_that_dvc_did_not_write_records_nothing(lock: Path, text: str) -> None:
    lock.write_text(text, "utf-8")
    assert recorded_listings(lock) == {}
    lock.unlink()
    assert recorded_listings(lock) == {}


def put(file: Path, cache: Path, cached: bytes) -> Path:
    """A file that holds its name, and what the cache has in its place."""
    file.write_text(file.name)
    md5 = hashlib.md5(file.name.encode(), usedforsecurity=False).hexdigest()
    path = cache / "files/md5" / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True)
    path.write_bytes(cached)
    return path


@pytest.mark.parametrize("dir_", [None, "{tmp}/elsewhere", "../beside"])
def test_damaged_files_of_the_cache_alone_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dir_: str | None
) -> None:
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(root)
    cache = root / ".dvc/cache"
    if dir_ is not None:
        place = dir_.format(tmp=tmp_path)
        Path(".dvc/config.local").write_text(f"[cache]\n    dir = {place}\n")
        cache = root / ".dvc" / place
    repaired, intact, absent = (root / name for name in ("repaired", "intact", "absent"))
    damaged = put(repaired, cache, b"damaged")
    kept = put(intact, cache, b"intact")
    absent.write_bytes(b"not in the cache")
    assert [path.resolve() for path in mend_cache([repaired, intact, absent])] == [
        damaged.resolve()
    ]
    assert damaged.read_bytes() == b"repaired"
    assert stat.S_IMODE(damaged.stat().st_mode) == 0o444
    assert kept.read_bytes() == b"intact"
