"""Progress: a line now and then where there is no terminal, a bar where there is one."""

import re
from io import StringIO
from unittest.mock import Mock

import pytest
from rich.console import Console

from stages.program import progress as module
from stages.program.progress import counting, progress


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


def break_off() -> None:
    """Work that fails after its first object."""
    with progress("extract", 3) as advance:
        advance(1)
        raise KeyError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of progress, standing still."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "LINE_EVERY_S", 10.0)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What a terminal of 120 columns gets to see."""
    screen = StringIO()

    def console(*, stderr: bool) -> Console:
        assert stderr
        return Console(file=screen, force_terminal=True, width=120, color_system=None)

    monkeypatch.setattr(module, "Console", console)
    monkeypatch.setattr(module, "is_in_front", lambda: True)
    return screen


def test_long_work_says_where_it_is_now_and_then(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("tune", 100, unit="trials") as advance:
        for _ in range(25):
            clock.now_s += 1
            advance(4)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "tune: 40/100 trials, 4.0 trials/s, 15 s left",
        "tune: 80/100 trials, 4.0 trials/s, 5 s left",
        "tune: 100/100 trials, 4.0 trials/s, 0 s left",
    ]


def test_the_rate_is_of_the_last_minute_and_a_slow_one_is_no_zero(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("fill", 1000) as count:
        clock.now_s += 40  # a model is loaded
        count(1)
        for _ in range(80):
            clock.now_s += 1
            count(5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fill: 1/1000 objects, 0.025 objects/s, 39960 s left"
    assert lines[-1] == "fill: 401/1000 objects, 5.0 objects/s, 120 s left"


def test_work_of_an_earlier_run_counts_but_not_in_the_rate(
    clock: Clock,
    terminal: StringIO,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for is_bar in (False, True):
        monkeypatch.setattr(module, "is_in_front", Mock(return_value=is_bar))
        with progress("segment", 100, "images", n_before=80) as advance:
            clock.now_s += 10
            advance(10)
    assert capsys.readouterr().err.splitlines()[0] == (
        "segment: 90/100 images, 1.0 images/s, 10 s left"
    )
    assert "90/100" in terminal.getvalue()


def test_work_that_stands_still_has_no_estimate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("fill", 10):
        clock.now_s += 5
    assert capsys.readouterr().err == "fill: 0/10 objects, 0 objects/s\n"


def test_what_others_do_no_longer_counts(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("extract", 10) as count:
        count.exclude(6)
        clock.now_s += 2
        count(4)
    assert capsys.readouterr().err == "extract: 4/4 objects, 2.0 objects/s, 0 s left\n"
    with progress("extract", 10) as count:
        count.exclude(10)
    assert capsys.readouterr().err == ""


def test_progress_that_is_not_shown_stays_hidden_when_others_do_its_work(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("extract", 0) as count:
        clock.now_s += 20
        count.exclude(8)
    assert capsys.readouterr().err == ""


def test_an_error_inside_is_not_followed_by_a_line_that_looks_like_an_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyError):
        break_off()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_count_rate_and_percent(
    clock: Clock, terminal: StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("extract tiny", 8) as advance:
        clock.now_s += 2
        advance(8)
    shown = terminal.getvalue()
    end = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).strip().splitlines()[-1]
    assert re.fullmatch(r"extract tiny ━+ 8/8 100% 4\.0 objects/s 0:00:00", end.strip())
    assert capsys.readouterr().err == ""


def test_an_item_is_counted_when_the_next_one_is_asked_for() -> None:
    done: list[int] = []
    items = counting("ab", done.append)
    assert (next(items), done) == ("a", [])
    assert (next(items), done) == ("b", [1])
    assert (list(items), done) == ([], [1, 1])
