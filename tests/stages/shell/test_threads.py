"""Work in threads gives what ``map`` gives."""

import threading
import time

import pytest

from stages.shell.threads import in_threads


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
