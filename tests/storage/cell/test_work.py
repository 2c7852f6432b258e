import errno
import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from storage.cell.work import PUBLISHED, RECORDED_AFTER_S, find_unfinished, lock_folder, sweep
from storage.errors import StoreError
from storage.files.manifest import FILE
from tests.fixtures.made_up_cell import (
    SIGNATURE,
    extract,
    images_of,
    open_cell,
    outputs,
    rows_of,
)


@pytest.fixture(autouse=True)
def recorded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published work may go, however young."""
    monkeypatch.setattr("storage.cell.work.RECORDED_AFTER_S", 0)


def test_work_stays_until_its_outputs_are_surely_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.cell.work.RECORDED_AFTER_S", RECORDED_AFTER_S)
    extract(tmp_path)
    (marker,) = (tmp_path / "work").rglob(PUBLISHED)
    assert sweep(tmp_path / "work", keep=tmp_path) == []
    published = marker.stat().st_mtime
    os.utime(marker, (published, published - RECORDED_AFTER_S))
    assert sweep(tmp_path / "work", keep=tmp_path) == [marker.parent]


@pytest.fixture
def young(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work that was published a moment ago, its outputs where DVC tracks them."""
    monkeypatch.setattr("storage.cell.work.RECORDED_AFTER_S", RECORDED_AFTER_S)
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


def test_sweep_leaves_what_was_published_once_and_is_being_done_again(tmp_path: Path) -> None:
    extract(tmp_path)
    repaired = images_of((0, 1, 0))
    with open_cell(tmp_path) as cell:
        assert cell.pending(repaired) == [1]
        cell.keep_piece(1, 0, rows_of(1), image_sha256="as it is")
    assert sweep(tmp_path / "work", keep=tmp_path) == []
    with open_cell(tmp_path) as cell:
        assert cell.pending(repaired) == [1]
        assert cell.load_piece(1, 0, image_sha256="as it is") is not None


def test_sweep_removes_published_work_of_other_cells_only(tmp_path: Path) -> None:
    for name in ("mine", "theirs"):
        extract(tmp_path / name)
        (tmp_path / name / "work/val/tiny/identity").rename(tmp_path / name / "cell")
    for name in ("mine", "theirs"):
        target = tmp_path / "work/val/tiny" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "cell").rename(target)
    with open_cell(tmp_path) as unfinished:
        pass
    kept = tmp_path / "work/val/tiny/mine"
    published = outputs(tmp_path / "theirs")
    for shard in (tmp_path / "theirs").glob("masks/*/mask_code/*"):
        shard.chmod(0o444)  # as DVC does; the work folder holds the same files
    (gone,) = sweep(tmp_path / "work", keep=kept)
    assert gone.parent.name == "theirs"
    assert not gone.exists()
    assert list(kept.iterdir())
    assert unfinished.folder.exists()
    assert outputs(tmp_path / "theirs") == published, "outputs keep what the sweep removed"


def test_sweep_lets_a_cell_be_that_another_process_is_at(tmp_path: Path) -> None:
    extract(tmp_path)
    with open_cell(tmp_path) as cell:
        assert sweep(tmp_path / "work", keep=tmp_path) == []
        assert cell.folder.exists()
    extract(tmp_path)
    assert sweep(tmp_path / "work", keep=tmp_path) == [cell.folder]


def test_a_sweep_leaves_what_it_may_not_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder / "lock"))

    extract(tmp_path)
    monkeypatch.setattr("storage.cell.work.lock_folder", refuse)
    assert sweep(tmp_path / "work", keep=tmp_path) == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_cell_that_is_swept_while_it_is_locked_begins_anew_and_alone(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(tmp_path)
    lock = fcntl.flock

    def swept(handle: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        if moment == "before":
            assert len(sweep(tmp_path / "work", keep=tmp_path)) == 1
        else:
            (marker,) = (tmp_path / "work").rglob(PUBLISHED)
            marker.parent.rename(tmp_path / "moved")
            marker.parent.mkdir()
            (marker.parent / "lock").touch()
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", swept)
    with open_cell(tmp_path) as cell:
        assert cell.pending(images_of((0, 0, 0))) == [0, 1, 2]
        assert (cell.folder / "lock").exists()
        with pytest.raises(StoreError, match="must have one writer at a time"):
            open_cell(tmp_path)


def test_a_folder_that_never_stays_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(folder: Path) -> int:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(folder / "lock"))

    monkeypatch.setattr("storage.cell.making.lock_folder", gone)
    with pytest.raises(StoreError, match="must stay while it is locked, got it removed 10 times"):
        open_cell(tmp_path)


def test_a_sweep_lets_another_one_have_what_it_took_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(tmp_path)

    def too_late(folder: Path) -> int:
        shutil.rmtree(folder)
        return lock_folder(folder)

    monkeypatch.setattr("storage.cell.work.lock_folder", too_late)
    assert sweep(tmp_path / "work", keep=tmp_path) == []


def test_a_sweep_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    leftover = tmp_path / "work/val/tiny/identity/.0123.removed"
    leftover.mkdir(parents=True)
    assert sweep(tmp_path / "work", keep=tmp_path) == []
    assert not leftover.exists()


def test_unfinished_work_that_cannot_be_read_is_named_too(tmp_path: Path) -> None:
    with open_cell(tmp_path) as cell:
        pass
    (cell.folder / "features.zarr/zarr.json").write_text("{")
    (cell.folder.parent / "stray").mkdir()
    (found,) = find_unfinished(cell.folder.parent / "other", SIGNATURE)
    assert found.path == cell.folder
    assert "must be a Zarr store" in found.difference


def test_work_with_more_settings_than_there_are_is_named(tmp_path: Path) -> None:
    with open_cell(tmp_path, former_setting=1) as cell:
        pass
    with open_cell(tmp_path) as present:
        (found,) = present.unfinished
    assert found.path == cell.folder
    assert found.difference == "settings that no longer exist"


def test_a_file_system_without_locks_is_worked_on_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    os.close(lock_folder(tmp_path))


def test_another_error_of_locking_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        lock_folder(tmp_path)
