"""A claim keeps others off a shard while its heart beats, and no longer, whatever clocks say."""

import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from storage.cell.claims import Claims, Watch, read_claim
from storage.writers import Writer, this_writer
from tests.fixtures.dead_process import dead_writer

ELSEWHERE = replace(this_writer(), host="node7", machine="01234567", pid=1)
SILENT_S = 60.0


class Clock:
    """A monotonic clock that goes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def leave(folder: Path, writer: Writer, *, beat: int = 3) -> Path:
    """A claim of shard 0 by another process."""
    path = folder / "claims" / "0.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"writer": asdict(writer), "beat": beat}))
    return path


def test_a_shard_has_one_claim(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take(0)
        assert not other.take(0)
        assert other.take(1)
        assert Watch().living(tmp_path) == {0, 1}
        one.release(0)
        assert other.take(0)
    assert Watch().living(tmp_path) == set()
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_claim_names_its_process(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        claims.take(0)
        assert read_claim(tmp_path / "claims/0.json") == this_writer()


def test_the_claim_of_a_dead_process_of_this_machine_is_taken_at_once(tmp_path: Path) -> None:
    leave(tmp_path, dead_writer())
    assert Watch().living(tmp_path) == set()
    leave(tmp_path, dead_writer())
    with Claims(tmp_path) as claims:
        assert claims.take(0)


def test_the_claim_of_a_host_that_is_gone_is_left_when_it_has_been_silent_for_a_while(
    tmp_path: Path,
) -> None:
    path = leave(tmp_path, ELSEWHERE)
    clock = Clock()
    watch = Watch(silent_s=SILENT_S, clock=clock)
    with Claims(tmp_path) as claims:
        for _ in range(3):
            assert watch.living(tmp_path) == {0}
            assert not claims.take(0)
            clock.now += SILENT_S / 3
        assert watch.living(tmp_path) == set()
        assert not path.exists()
        assert claims.take(0)


def test_a_heart_that_beats_keeps_a_claim_for_ever(tmp_path: Path) -> None:
    clock = Clock()
    watch = Watch(silent_s=SILENT_S, clock=clock)
    for beat in range(9):
        leave(tmp_path, ELSEWHERE, beat=beat)
        assert watch.living(tmp_path) == {0}
        clock.now += SILENT_S - 1


@pytest.mark.parametrize("ahead_s", [-600, 600])
def test_a_clock_ten_minutes_off_changes_nothing(tmp_path: Path, ahead_s: float) -> None:
    clock = Clock()
    watch = Watch(silent_s=SILENT_S, clock=clock)
    path = leave(tmp_path, ELSEWHERE)
    there = time.time() + ahead_s
    os.utime(path, (there, there))
    assert watch.living(tmp_path) == {0}
    clock.now += SILENT_S - 1
    assert watch.living(tmp_path) == {0}
    clock.now += 1
    assert watch.living(tmp_path) == set()


def test_hearts_beat(tmp_path: Path) -> None:
    path = tmp_path / "claims/0.json"
    with Claims(tmp_path, beat_s=0.01) as claims:
        claims.take(0)
        seen = {path.read_bytes()}
        end = time.monotonic() + 30
        while len(seen) < 3 and time.monotonic() < end:
            seen.add(path.read_bytes())
        assert len(seen) == 3


def test_a_claim_that_another_took_over_is_not_given_back(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    claims.take(0)
    (tmp_path / "claims/0.json").unlink()
    leave(tmp_path, ELSEWHERE)
    claims.close()
    assert read_claim(tmp_path / "claims/0.json") == ELSEWHERE


def test_a_claim_that_is_not_written_yet_is_one(tmp_path: Path) -> None:
    leave(tmp_path, ELSEWHERE).write_text("")
    with Claims(tmp_path) as claims:
        assert not claims.take(0)
    assert Watch().living(tmp_path) == {0}
