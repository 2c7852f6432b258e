"""Unusable workers are named once, and a wait for workers is told."""

from pathlib import Path

import pytest

from stages.executor import watch as module
from stages.executor.watch import LOOK_S, NOTE_S, SILENT_S, TTL, Watch

WAITING = "note: waiting for workers of address: job 7\n"

MARK = "mark"


class Scheduler:
    """A scheduler's workers, at a time that a test sets; stands in for a client, too."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.heartbeats: dict[str, float] | None = {}
        self.resources: dict[str, float] = {MARK: 1}
        self.folder: str | None = str(Path.cwd())
        self.identity = None
        self.scheduler = self
        self.n_usable: list[int] = []

    def monotonic(self) -> float:
        """Stands in for the module ``time``."""
        return self.now

    def sync(self, _rpc: object, **_options: object) -> dict[str, object]:
        """Stands in for a client's call of the scheduler."""
        if self.heartbeats is None:
            raise TimeoutError
        return {
            "workers": {
                name: {
                    "last_seen": heartbeat,
                    "resources": self.resources,
                    "metrics": {MARK: self.folder},
                }
                for name, heartbeat in self.heartbeats.items()
            }
        }

    def look_for(self, n_usable: int) -> str:
        """Note the number of usable workers, and name a job."""
        self.n_usable.append(n_usable)
        return ": job 7"


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    """A scheduler without workers."""
    scheduler = Scheduler()
    monkeypatch.setattr(module, "time", scheduler)
    return scheduler


@pytest.fixture
def watch(scheduler: Scheduler) -> Watch:
    """Watches it."""
    return Watch(scheduler, kind="address", mark=MARK, look_for=scheduler.look_for)  # type: ignore[arg-type]


def test_a_silent_worker_is_named_once(
    scheduler: Scheduler, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler.heartbeats = {"a": 1.0, "b": 1.0}
    for _ in range(4):
        assert watch.n_usable() == 2
        scheduler.now += SILENT_S + 1
        scheduler.heartbeats["b"] += 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: workers must answer within 30 s, got nothing from a, which ")
    assert line.endswith(f"within twice its scheduler's {TTL}, or once it is ended")


def test_a_worker_in_another_folder_is_named_once_and_usable_when_it_sees_the_files(
    scheduler: Scheduler, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler.heartbeats = {"a": 1.0}
    scheduler.resources, scheduler.folder = {}, "/elsewhere"
    for _ in range(2):
        assert watch.n_usable() == 0
        scheduler.now += NOTE_S
        scheduler.heartbeats["a"] += 1
    assert capsys.readouterr().err.splitlines(keepends=True) == [
        f"note: workers must start in {Path.cwd()}, got a in /elsewhere\n",
        *[WAITING] * 2,
    ]
    scheduler.heartbeats, scheduler.folder = {"b": 1.0}, str(Path.cwd())
    assert watch.n_usable() == 0
    assert f"must see the files of {Path.cwd()}, got b in" in capsys.readouterr().err
    scheduler.now += LOOK_S
    scheduler.resources = {MARK: 1}
    assert watch.n_usable() == 1
    assert scheduler.n_usable == [0, 0, 0, 1]


def test_a_worker_that_was_silent_before_it_told_its_folder_is_named_for_the_folder_too(
    scheduler: Scheduler, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler.heartbeats, scheduler.resources, scheduler.folder = {"a": 1.0}, {}, None
    for _ in range(2):
        watch.n_usable()
        scheduler.now += SILENT_S + 1
    scheduler.heartbeats, scheduler.folder = {"a": 2.0}, "/elsewhere"
    for _ in range(3):
        watch.n_usable()
        scheduler.now += SILENT_S + 1
    notes = [line for line in capsys.readouterr().err.splitlines() if "workers must" in line]
    rules = [note.partition(",")[0] for note in notes]
    cwd = Path.cwd()
    assert rules == ["note: workers must answer within 30 s", f"note: workers must start in {cwd}"]


def test_a_wait_for_workers_or_an_answer_is_told_every_half_minute(
    scheduler: Scheduler, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[dict[str, float] | None] = [{}, None]
    for scheduler.heartbeats in answers:
        for _ in range(7):
            assert watch.n_usable() == 0
            scheduler.now += 10.0
    assert capsys.readouterr().err == WAITING * 5
    scheduler.heartbeats = {"a": 1.0}
    assert watch.n_usable() == 1
    assert capsys.readouterr().err == ""


def test_the_scheduler_is_asked_now_and_then(scheduler: Scheduler, watch: Watch) -> None:
    for _ in range(11):
        watch.n_usable()
        scheduler.now += LOOK_S / 5
    assert len(scheduler.n_usable) == 3
