import errno
import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from storage.cell.making import Cell
from storage.cell.rates import made_below
from storage.cell.work import PUBLISHED, find_unfinished, sweep
from storage.files.manifest import FILE
from storage.store.marks import load_mark, put_mark, receipt_of
from tests.fixtures.made_up_cell import (
    PLAN,
    SIGNATURE,
    extract,
    images_of,
    open_cell,
    rows_of,
)


@pytest.fixture
def young(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work that was published a moment ago, its outputs where DVC tracks them."""
    monkeypatch.chdir(tmp_path)
    extract(Path("made"))
    for kind in ("features", "masks"):
        target = Path(f"cache/{kind}/val/tiny/identity.zarr")
        target.parent.mkdir(parents=True)
        Path(f"made/{kind}/identity.zarr").rename(target)
    Path("made/work").rename("cache/work")
    (marker,) = Path("cache/work").rglob(PUBLISHED)
    return marker.parent


def record(*kinds: str, cache: str = ".dvc/cache") -> None:
    """Write what DVC writes when it has recorded outputs: listings, and their digests."""
    outs = []
    for kind in kinds:
        path = Path(f"cache/{kind}/val/tiny/identity.zarr")
        files = {
            file.relative_to(path).as_posix(): hashlib.md5(file.read_bytes()).hexdigest()  # noqa: S324
            for file in path.rglob("*")
            if file.is_file()
        }
        listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in files.items()])
        digest = hashlib.md5(listing.encode()).hexdigest() + ".dir"  # noqa: S324 - as DVC does
        file = Path(cache) / "files/md5" / digest[:2] / digest[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(listing)
        outs.append({"path": str(path), "hash": "md5", "md5": digest})
    stages = {"extract@val-tiny-identity": {"cmd": "x", "outs": outs}}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def swept() -> list[Path]:
    return sweep(Path("cache/work"), keep=Path("cache/work/val/large/identity"))


def test_work_goes_as_soon_as_dvc_has_its_outputs(young: Path) -> None:
    assert swept() == []
    record("features")
    assert swept() == [], "the masks are not recorded"
    record("features", "masks")
    assert swept() == [young]


def test_how_fast_work_was_made_is_known_when_it_is_gone(recorded: Path) -> None:
    work = Path("cache/work")
    mark = load_mark(recorded, 0)
    assert mark is not None
    put_mark(recorded, 0, replace(mark, receipt=receipt_of("a processor", 4, 2.0)))
    assert swept() == [recorded]
    assert [(one.device, one.n_objects, one.seconds) for one in made_below(work)] == [
        ("a processor", 4, 2.0)
    ]


def test_work_goes_though_nothing_can_be_kept_of_it(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("storage.cell.work.keep_rates", full)
    assert swept() == [recorded]


def test_a_cache_elsewhere_is_found(young: Path, tmp_path: Path) -> None:
    record("features", "masks", cache=str(tmp_path / "elsewhere"))
    assert swept() == []
    Path(".dvc").mkdir()
    Path(".dvc/config.local").write_text("[cache]\n    dir = ../elsewhere\n")
    assert swept() == [young]


@pytest.mark.parametrize("fault", ["older", "no_lock", "no_lists", "spoiled"])
def test_what_an_earlier_run_recorded_does_not_count(young: Path, fault: str) -> None:
    record("features", "masks")
    if fault == "older":
        (Path("cache/masks/val/tiny/identity.zarr") / FILE).write_text("of another run")
    elif fault == "no_lock":
        Path("dvc.lock").unlink()
    elif fault == "no_lists":
        shutil.rmtree(".dvc")
    else:
        Path("dvc.lock").write_text("stages: [")
    assert swept() == []
    assert young.exists()


@pytest.fixture
def recorded(young: Path) -> Path:
    """The same, recorded by DVC."""
    record("features", "masks")
    return young


def test_work_that_dvc_never_records_stays(young: Path) -> None:
    os.utime(young / PUBLISHED, (0, 0))
    assert swept() == []
    assert young.exists()


def test_sweep_leaves_what_was_published_once_and_is_being_done_again(recorded: Path) -> None:
    repaired = images_of((0, 1, 0))
    cell = Cell.open(recorded.parent, SIGNATURE, PLAN)
    assert list(cell.lacking(repaired)) == [1]
    assert (recorded / PUBLISHED).exists(), "nothing has been done yet"
    cell.begin()
    assert swept() == []
    cell.write_shard(1, rows_of(1, version=1), repaired[1])
    assert swept() == []


def test_sweep_removes_published_work_of_other_cells_only(recorded: Path) -> None:
    assert sweep(Path("cache/work"), keep=recorded.parent) == []
    unfinished = open_cell(Path("cache/work/val/small")).folder
    shards = list(Path("cache").glob("masks/*/*/*/mask_code/c.*"))
    published = {shard: shard.read_bytes() for shard in shards}
    for shard in shards:
        shard.chmod(0o444)  # as DVC does; the work folder holds the same files
    assert swept() == [recorded]
    assert not recorded.exists()
    assert unfinished.exists()
    assert {shard: shard.read_bytes() for shard in shards} == published


def test_a_sweep_leaves_what_it_may_not_remove(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, _: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "rename", refuse)
    assert swept() == []
    assert recorded.exists()


def test_a_sweep_lets_another_one_have_what_it_took_first(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def too_late(folder: Path, target: Path) -> Path:
        shutil.rmtree(folder)
        return rename(folder, target)

    monkeypatch.setattr(Path, "rename", too_late)
    assert swept() == []
    assert not recorded.exists()


def test_a_sweep_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    leftover = tmp_path / "work/val/tiny/identity/.0123.removed"
    leftover.mkdir(parents=True)
    assert sweep(tmp_path / "work", keep=tmp_path) == []
    assert not leftover.exists()


def test_unfinished_work_that_cannot_be_read_is_named_too(tmp_path: Path) -> None:
    cell = open_cell(tmp_path)
    (cell.folder / "features.zarr/zarr.json").write_text("{")
    (cell.folder.parent / "stray").mkdir()
    (found,) = find_unfinished(cell.folder.parent / "other", SIGNATURE)
    assert found.path == cell.folder
    assert "must be a Zarr store" in found.difference


def test_work_with_more_settings_than_there_are_is_named(tmp_path: Path) -> None:
    cell = open_cell(tmp_path, former_setting=1)
    present = open_cell(tmp_path)
    (found,) = present.unfinished
    assert found.path == cell.folder
    assert found.difference == "settings that no longer exist"
