import errno
import os
from pathlib import Path

import pytest

from storage.folders import flush, link_or_copy, named_disk_errors, whole_folder


def fill(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "file").write_text(text)


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "below" / "store.zarr"
    with whole_folder(target) as partial:
        fill(partial, "whole")
        assert not target.exists()
        assert partial.parent == target.parent, "a rename must not cross file systems"
    assert (target / "file").read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_former_folder_is_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "store", "former")
    with whole_folder(tmp_path / "store") as partial:
        fill(partial, "new")
        assert (tmp_path / "store" / "file").read_text() == "former"
    assert (tmp_path / "store" / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "store"]


def test_a_build_that_fails_leaves_the_former_folder(tmp_path: Path) -> None:
    fill(tmp_path / "store", "former")

    def build() -> None:
        with whole_folder(tmp_path / "store") as partial:
            fill(partial, "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build()
    assert (tmp_path / "store" / "file").read_text() == "former"
    assert list(tmp_path.iterdir()) == [tmp_path / "store"]


def test_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    fill(tmp_path / ".store.partial", "half")
    fill(tmp_path / ".store.former.partial", "former")
    with whole_folder(tmp_path / "store") as partial:
        fill(partial, "new")
    assert list(tmp_path.iterdir()) == [tmp_path / "store"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError("3 bytes of 9 written")]
)
def test_an_error_of_the_disk_names_the_path(tmp_path: Path, error: OSError) -> None:
    with (
        pytest.raises(OSError, match=r"No space left|3 bytes") as caught,
        named_disk_errors(tmp_path),
    ):
        raise error
    assert caught.value.filename == str(tmp_path)
    assert caught.value.errno == (error.errno or errno.EIO)


def test_an_error_that_names_a_file_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, named_disk_errors(tmp_path):
        (tmp_path / "absent").read_bytes()
    assert caught.value.filename == str(tmp_path / "absent")


def test_a_link_is_a_second_name_of_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"shard")
    link_or_copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").samefile(tmp_path / "one")


def test_without_hard_links_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "one").write_bytes(b"shard")
    link_or_copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == b"shard"
    assert not (tmp_path / "two").samefile(tmp_path / "one")


def test_a_missing_file_is_not_copied_either(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        link_or_copy(tmp_path / "absent", tmp_path / "two")


def test_flush_reaches_files_and_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink())
    )
    (tmp_path / "one").touch()
    flush([tmp_path / "one"])
    assert synced == [tmp_path / "one", tmp_path]
