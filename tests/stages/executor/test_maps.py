"""Work by an executor gives what ``map`` gives."""

import threading
import time
from functools import partial
from pathlib import Path

import pytest

from stages.executor.tasks import in_threads, map_by
from stages.settings.blocks import ExecutorParams
from storage.paths import WORK
from tests.fixtures import tasks


def test_results_come_in_the_order_of_the_items() -> None:
    def work(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return 2 * item

    assert list(in_threads(work, range(9))) == list(range(0, 18, 2))


def test_work_is_done_beside_the_caller() -> None:
    (found,) = in_threads(lambda _: threading.get_ident(), [0])
    assert found != threading.get_ident()


def test_an_error_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda item: 1 // item, [1, 0]))


@pytest.mark.slow
def test_workers_give_results_in_order_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with map_by(ExecutorParams(kind="local", n_workers=2), "number") as each:
        assert list(each(tasks.double, range(9))) == list(range(0, 18, 2))
        assert list(each(partial(pow, 2), [3, 1])) == [8, 2]
        (folder,) = WORK.glob(".each.*")
        assert folder.stat().st_mode & 0o077 == 0
        with pytest.raises(ZeroDivisionError):
            each(partial(divmod, 1), [0])
    assert list(WORK.iterdir()) == []
