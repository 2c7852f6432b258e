"""Arrays in files that end with them."""

import errno
from pathlib import Path

import numpy as np
import pytest

from storage.paths import WORK
from storage.split.scratch import scratch_array
from tests.fixtures.full_disk import full_at_write
from tests.fixtures.memory import memory_bytes


def test_pages_are_those_of_a_file_that_nobody_else_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = memory_bytes("RssAnon")
    array = scratch_array((1024, 16, 1024))
    assert array.nbytes == 2**26
    assert not array.any()
    array[:] = 1
    assert memory_bytes("RssAnon") - before < array.nbytes / 8
    assert list(WORK.iterdir()) == []
    assert array.sum(dtype=np.float64) == array.size


def test_a_disk_without_room_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_at_write(tmp_path / "small", room_kb=512):
        monkeypatch.chdir(tmp_path / "small")
        with pytest.raises(OSError, match=str(WORK)) as caught:
            scratch_array((1024, 1024))
        assert caught.value.errno == errno.ENOSPC
        assert scratch_array((64, 1024)).shape == (64, 1024)


def test_nothing_takes_no_file() -> None:
    assert scratch_array((4, 0, 8)).shape == (4, 0, 8)
