"""What DVC has is read from its own files, however PyYAML was built, and damage in it is mended."""

import hashlib
import json
import stat
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from storage.pool.dvc_cache import (
    cache_dir,
    lacks_cached,
    lay_out,
    md5_of,
    mend_cache,
    recorded_listings,
    repaired_files,
)

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


@pytest.mark.parametrize(
    ("folders", "place"),
    [
        ({}, "project/.dvc/cache"),
        ({"local": "{tmp}/elsewhere"}, "elsewhere"),
        ({"local": "../beside"}, "project/beside"),
        ({"repository": "../beside"}, "project/beside"),
        ({"global": "below"}, "global/below"),
        ({"system": "{tmp}/lab", "repository": ""}, "lab"),
        ({"system": "{tmp}/lab", "global": "{tmp}/ann"}, "ann"),
        ({"global": "{tmp}/ann", "local": "{tmp}/here"}, "here"),
    ],
)
def test_damaged_files_of_the_cache_alone_are_replaced_wherever_dvc_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: dict[str, str], place: str
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    Repo.init(no_scm=True).close()
    files = {"local": Path(".dvc/config.local"), "repository": Path(".dvc/config")}
    for level in ("global", "system"):
        files[level] = tmp_path / level / "config"
        files[level].parent.mkdir()
        monkeypatch.setenv(f"DVC_{level.upper()}_CONFIG_DIR", str(tmp_path / level))
    for level, folder in folders.items():
        text = f"dir = {folder.format(tmp=tmp_path)}" if folder else "type = copy"
        files[level].write_text(f"[core]\n    no_scm = True\n[cache]\n    {text}\n")
    cache = tmp_path / place
    assert cache_dir().resolve() == cache
    with Repo() as repo:
        assert Path(repo.cache.local.path).parents[1] == cache
    repaired, intact, absent = (root / name for name in ("repaired", "intact", "absent"))
    damaged = put(repaired, cache, b"damaged")
    kept = put(intact, cache, b"intact")
    lacking = put(absent, cache, b"")
    lacking.unlink()
    outs = [{"path": file.name, "md5": md5_of(file)} for file in (repaired, intact, absent)]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"s": {"outs": outs}}}))
    assert [lacks_cached(Path(out["path"])) for out in outs] == [True, False, True]
    for out in outs:
        mend_cache(Path(out["path"]))
    assert damaged.read_bytes() == b"repaired"
    assert stat.S_IMODE(damaged.stat().st_mode) == 0o444
    assert kept.read_bytes() == b"intact"
    assert lacking.read_bytes() == b"absent"
    assert repaired_files() == {md5_of(damaged): []}


@pytest.mark.parametrize("relpath", ["../outside", "a/../../outside", "{tmp}/outside"])
@pytest.mark.parametrize("content", ["listing", "nested"])
def test_a_listing_lays_nothing_out_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relpath: str, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / ".dvc/cache"
    for name in ("inside", "other"):
        put(tmp_path / name, cache, name.encode())
    entries = [{"relpath": name, "md5": md5_of(Path("inside"))} for name in ("inside", relpath)]
    entries[1]["relpath"] = relpath.format(tmp=tmp_path)
    texts = {"listing": json.dumps(entries), "nested": "[" * 100_000}
    listing = put(tmp_path / "listing", cache, texts[content].encode())
    listing = listing.rename(listing.with_suffix(".dir"))
    md5 = listing.parent.name + listing.name
    assert not lay_out(md5, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert not (tmp_path / "outside").exists()
    listing.write_text(json.dumps(entries[:1]))
    assert lay_out(md5, tmp_path / "folder")
    assert (tmp_path / "folder/inside").read_text() == "inside"
