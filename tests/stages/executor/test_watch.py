"""Workers that are of no use are named once, and are none while they are not."""

import pytest

from stages.executor import watch as module
from stages.executor.watch import NOTE_S, REFUSED_S, SILENT_S, Elsewhere, Watch, Workers

WAITING = "note: waiting for workers of address\n"


class Scheduler:
    """What is known of workers, at a time that a test sets; stands in for a client, too."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.signs: dict[str, float] | None = {}
        self.identity = None
        self.scheduler = self
        self.n_free: list[int] = []

    def monotonic(self) -> float:
        """In place of the module ``time``."""
        return self.now

    def sync(self, _rpc: object, **_options: object) -> dict[str, object]:
        """As a client of Dask's."""
        if self.signs is None:
            raise TimeoutError
        return {"workers": {name: {"last_seen": sign} for name, sign in self.signs.items()}}


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    """A scheduler without workers."""
    found = Scheduler()
    monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def watch(scheduler: Scheduler) -> Watch:
    """What looks at it."""
    return Watch(scheduler, "address", scheduler.n_free.append)  # type: ignore[arg-type]


def test_a_worker_without_signs_of_life_is_named_once_until_it_gives_one(
    scheduler: Scheduler, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler.signs = {"a": 1.0, "b": 1.0}
    assert watch.look() == Workers(["a", "b"], [], [])
    for _ in range(3):
        scheduler.now += SILENT_S + 1
        scheduler.signs["b"] += 1
        assert watch.look() == Workers(["b"], ["a"], [])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: workers must answer within 30 s, got nothing from a, ")
    scheduler.signs["a"] += 1
    assert watch.look() == Workers(["a", "b"], [], [])
    assert scheduler.n_free == [2, 1, 1, 1, 2]


def test_a_worker_in_another_folder_is_named_once_and_tried_again_after_a_while(
    scheduler: Scheduler, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler.signs = {"a": 1.0}
    for _ in range(2):
        assert watch.look() == Workers(["a"], [], [])
        watch.refuse(Elsewhere("a", "/elsewhere"))
        for _ in range(2):
            assert watch.look() == Workers([], [], ["a"])
        scheduler.now += NOTE_S
        scheduler.signs["a"] += 1
        assert watch.look() == Workers([], [], ["a"])
        scheduler.now += REFUSED_S - NOTE_S
        scheduler.signs["a"] += 1
    lines = capsys.readouterr().err.splitlines(keepends=True)
    assert lines[0].startswith("note: workers must start in /")
    assert lines[0].endswith(", got a in /elsewhere\n")
    assert lines[1:] == [WAITING] * 2


def test_whoever_waits_for_workers_or_an_answer_says_so_every_half_minute(
    scheduler: Scheduler, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[dict[str, float] | None] = [{}, None]
    for scheduler.signs in answers:
        for _ in range(7):
            assert watch.look() == Workers([], [], [])
            scheduler.now += 10.0
    assert capsys.readouterr().err == WAITING * 5
    scheduler.signs = {"a": 1.0}
    watch.look()
    assert capsys.readouterr().err == ""
