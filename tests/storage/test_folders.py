"""Files and folders appear whole or not at all, wherever their making is cut short."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from storage import folders
from storage.folders import (
    begin_file,
    begun_files,
    is_begun,
    is_left,
    link_or_copy,
    new_tag,
    passing_folder,
    put_file,
    put_link,
    whole_file,
    whole_folder,
)
from tests.fixtures.dead_process import dead_tag
from tests.fixtures.pipes import pipe_at

ROOT: Final = Path(__file__).parents[2]

WRITER: Final = """
import os, signal, sys
from itertools import count
from pathlib import Path
from storage import folders

target, is_file = Path("target"), sys.argv[1] == "file"

def write(path, text):
    if is_file:
        path.write_text(text)
    else:
        path.mkdir()
        for name in ("one", "two"):
            (path / name).write_text(text)

def replace(last_call):
    calls = count(1)

    def tick():
        if next(calls) == last_call:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying(real):
        def run(*arguments, **named):
            tick()
            result = real(*arguments, **named)
            tick()
            return result
        return run

    os.mkdir(str(last_call))
    os.chdir(str(last_call))
    write(target, "old")
    for owner, names in {
        os: ("open", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir"),
        folders: ("_is_exchanged",),
    }.items():
        for name in names:
            setattr(owner, name, dying(getattr(owner, name)))
    with (folders.whole_file if is_file else folders.whole_folder)(target) as partial:
        write(partial, "new")

for last_call in count(1):
    child = os.fork()
    if child == 0:
        replace(last_call)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        break
    assert status == -signal.SIGKILL, status
"""
"""Replaces a file or folder in processes that die before or after the nth call of the system."""


def fill(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "file").write_text(text)


def fill_file(file: Path, text: str) -> None:
    file.write_text(text)


WHOLE: Final = {"file": (whole_file, fill_file), "folder": (whole_folder, fill)}


def text_of(path: Path) -> str:
    return (path / "file" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_file_or_folder_appears_and_is_replaced_when_it_is_whole(
    kind: str, can_exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_exchange:
        monkeypatch.setattr(folders, "_is_exchanged", lambda *_: False)
    whole, write = WHOLE[kind]
    target = tmp_path / "below" / "target"
    with whole(target) as partial:
        write(partial, "first")
        assert not target.exists()
        assert partial.parent == target.parent, "a rename must not cross file systems"
    with whole(target) as partial:
        write(partial, "second")
        assert text_of(target) == "first"
    assert text_of(target) == "second"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("kind", WHOLE)
def test_one_whose_making_fails_leaves_the_former_one(kind: str, tmp_path: Path) -> None:
    whole, write = WHOLE[kind]
    write(tmp_path / "target", "former")

    def make() -> None:
        with whole(tmp_path / "target") as partial:
            write(partial, "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make()
    assert text_of(tmp_path / "target") == "former"
    assert list(tmp_path.iterdir()) == [tmp_path / "target"]


def texts(path: Path) -> set[str]:
    """Texts of a file, or of the two of a folder."""
    if path.is_file():
        return {path.read_text()}
    assert sorted(file.name for file in path.iterdir()) == ["one", "two"]
    return {file.read_text() for file in path.iterdir()}


@pytest.mark.parametrize("kind", WHOLE)
def test_killed_at_any_call_of_the_system_the_old_or_the_new_one_stands(
    tmp_path: Path, kind: str
) -> None:
    command, path = (sys.executable, "-c", WRITER, kind), {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=os.environ | path, check=True)
    *died, whole = sorted(tmp_path.iterdir(), key=lambda root: int(root.name))
    seen = [text for root in died for text in texts(root / "target")]
    assert len(seen) == len(died)
    assert texts(whole / "target") == {"new"}
    assert [path.name for path in whole.iterdir()] == ["target"]
    assert seen == sorted(seen, key=["old", "new"].index), "it goes back"
    assert set(seen) == {"old", "new"}


def test_where_names_cannot_be_exchanged_the_next_build_finds_the_old_folder(
    tmp_path: Path,
) -> None:
    target = tmp_path / "target"
    fill(target, "old")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "_is_exchanged", lambda *_: False)
        patch.setattr(os, "rename", die_at_the_second_call(os.rename))
        with pytest.raises(KeyboardInterrupt), whole_folder(target) as partial:
            fill(partial, "new")
    assert not target.exists()
    with pytest.raises(KeyboardInterrupt), whole_folder(target):
        raise KeyboardInterrupt
    assert text_of(target) == "old"


def die_at_the_second_call(real: Callable[..., None]) -> Callable[..., None]:
    n_calls = 0

    def dying(*arguments: object) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            raise KeyboardInterrupt
        real(*arguments)

    return dying


def test_a_file_and_its_name_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bool]] = []

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        synced.append((path.name, (tmp_path / "auc.csv").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with whole_file(tmp_path / "auc.csv") as partial:
        partial.write_text("whole")
    assert re.fullmatch(r"\.auc\.csv\.[0-9a-f-]+\.partial", synced[0][0])
    assert not synced[0][1]
    assert synced[-1] == (tmp_path.name, True)


def test_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    fill(tmp_path / f".store.{dead_tag()}.partial", "half")
    fill(tmp_path / ".store.former.partial", "former")
    (tmp_path / f".table.{dead_tag()}.partial").write_text("half")
    with whole_folder(tmp_path / "store") as partial:
        fill(partial, "new")
    with whole_file(tmp_path / "table") as partial:
        partial.write_text("new")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "store", tmp_path / "table"]


def test_two_at_the_same_folder_or_file_do_not_meet(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "store") as first, whole_folder(tmp_path / "store") as second:
        fill(first, "first")
        fill(second, "second")
    with whole_file(tmp_path / "table") as first, whole_file(tmp_path / "table") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "store" / "file").read_text() == "first", "the last one to end"
    assert (tmp_path / "table").read_text() == "first"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "store", tmp_path / "table"]


def test_a_passing_folder_goes_with_its_block_and_what_a_kill_left_with_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "work" / "each"
    left, others = (path.with_name(f".each.{tag}.partial") for tag in (dead_tag(), new_tag()))
    for folder in (left, others):
        folder.mkdir(parents=True)
        (folder / "data").touch()
    with passing_folder(path) as folder:
        assert sorted(path.parent.iterdir()) == sorted([others, folder])
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "data").touch()
    assert list(path.parent.iterdir()) == [others]


def test_marks_of_begun_files_show_to_others_and_leftovers_of_dead_processes_go(
    tmp_path: Path,
) -> None:
    below = tmp_path / "below"
    assert begun_files(below) == set()
    assert not is_begun(below / "one.npz")
    marks = [begin_file(below / f"{name}.npz") for name in ("one", "two")]
    assert begin_file(below / "one.npz") is None, "it is marked already"
    mark, of_dead = (mark for mark in marks if mark)
    of_dead.write_text(dead_tag())
    leftover = below / f".three.npz.{dead_tag()}.partial"
    for file in (leftover, below / "four.npz"):
        file.touch()
    assert [is_begun(below / f"{name}.npz") for name in ("one", "two", "four")] == [
        True,
        False,
        False,
    ]
    assert begun_files(below) == {"one.npz"}
    assert not leftover.exists()
    mark.unlink()
    assert begun_files(below) == set()
    assert [file.name for file in below.iterdir()] == ["four.npz"]
    of_dead.write_text(dead_tag())
    assert begin_file(below / "two.npz") == of_dead


def test_a_mark_of_another_machine_goes_once_its_file_exists(tmp_path: Path) -> None:
    for name in ("one", "two"):
        mark = begin_file(tmp_path / f"{name}.npz")
        assert mark is not None
        mark.write_text("01234567-1-89abcdef")
    assert begun_files(tmp_path) == {"one.npz", "two.npz"}
    (tmp_path / "one.npz").touch()
    assert begun_files(tmp_path) == {"two.npz"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".two.npz.begun.partial", "one.npz"]


@pytest.mark.parametrize(("has_links", "kept"), [(True, b"first"), (False, b"second")])
def test_the_first_file_stays_where_the_file_system_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool, kept: bytes
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    put_file(tmp_path / "shard", b"first", is_first=True)
    put_file(tmp_path / "shard", b"second", is_first=True)
    assert (tmp_path / "shard").read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]


def test_a_link_is_put_over_whatever_is_there(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"shard")
    (tmp_path / "two").write_bytes(b"other")
    for _ in range(2):  # the second time both are one file already
        put_link(tmp_path / "one", tmp_path / "two")
        assert (tmp_path / "two").samefile(tmp_path / "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_link_is_a_second_name_and_without_hard_links_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (tmp_path / "one").write_bytes(b"shard")
    link_or_copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").samefile(tmp_path / "one")
    with pytest.raises(FileNotFoundError):
        link_or_copy(tmp_path / "absent", tmp_path / "three")
    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(tmp_path / "one", tmp_path / "three")
    assert (tmp_path / "three").read_bytes() == b"shard"
    assert not (tmp_path / "three").samefile(tmp_path / "one")


def test_what_the_dead_of_this_machine_wrote_is_left_and_nothing_else() -> None:
    own, pid, rest = dead_tag().split("-")
    assert is_left(f".c.0.{own}-{pid}-{rest}.partial")
    for tag in (f"01234567-{pid}-{rest}", new_tag(), ""):
        assert not is_left(f".c.0.{tag}.partial")
    assert new_tag() != new_tag()


def test_a_pipe_or_a_device_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    message = "must be a file, got a pipe or a device"
    with pipe_at(path):
        with pytest.raises(OSError, match=message), whole_file(path):
            pytest.fail("the block must not begin")
        assert path.is_fifo()
