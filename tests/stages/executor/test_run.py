"""Executors: every task is done as soon as it can be, and one that cannot be is named."""

import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, Final

import pytest

from stages.executor.run import run_on, run_tasks
from stages.executor.tasks import N_TRIES, Failure, Task, check_all_done
from stages.shell.blocks import ExecutorParams
from stages.shell.parsing import ParamsError
from storage.errors import DataError, StoreError
from tests.fixtures import tasks
from tests.fixtures.driven import driven, listens_to
from tests.fixtures.slurm import wait_until

LOCAL: Final = ExecutorParams(kind="local", n_workers=2)

KINDS: Final = [
    pytest.param(ExecutorParams(), 1, id="inline"),
    pytest.param(ExecutorParams(), 3, id="threads"),
]


def run(
    todo: list[Task[Any]], params: ExecutorParams, n_threads: int = 1
) -> tuple[dict[str, Any], list[Failure]]:
    """Results by the names of their tasks, and the failures."""
    found: dict[str, Any] = {}

    def keep(task: Task[Any], result: object) -> None:
        assert task.name not in found
        found[task.name] = result

    failures = run_tasks(todo, params, keep, n_threads=n_threads)
    return found, failures


def test_an_encrypted_scheduler_without_keys_is_named() -> None:
    params = ExecutorParams(kind="address", address="tls://127.0.0.1:9")
    with pytest.raises(ParamsError, match="must be one that Dask has TLS keys for, got tls://127"):
        run([Task("double", tasks.double, (4,))], params)


@pytest.mark.parametrize(("params", "n_threads"), KINDS)
def test_every_task_is_done_once(params: ExecutorParams, n_threads: int) -> None:
    todo = [Task(f"double {i}", tasks.double, (i,)) for i in range(50)]
    found, failures = run(todo, params, n_threads)
    assert found == {f"double {i}": 2 * i for i in range(50)}
    assert failures == []


@pytest.mark.parametrize(("params", "n_threads"), KINDS)
def test_a_task_that_fails_is_tried_three_times_and_the_rest_goes_on(
    params: ExecutorParams, n_threads: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late, never = (tmp_path / name for name in ("late", "never"))
    todo = [
        Task("never", tasks.fail_at_first, (str(never), N_TRIES)),
        Task("late", tasks.fail_at_first, (str(late), N_TRIES - 1)),
        Task("double", tasks.double, (4,)),
    ]
    found, failures = run(todo, params, n_threads)
    assert found == {"late": N_TRIES, "double": 8}
    assert list(map(str, failures)) == ["never: call 3 must be later"]
    assert never.read_text() == "xxx"
    told = capsys.readouterr().err.splitlines()
    assert sorted(told) == [
        f"note: try {tries} of 3 of {name}: call {tries} must be later"
        for tries in (1, 2)
        for name in ("late", "never")
    ]


def test_weights_that_are_missing_here_are_not_looked_for_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    todo = [Task("lost", tasks.lack_weights), Task("double", tasks.double, (4,))]
    found, failures = run(todo, ExecutorParams())
    assert found == {"double": 8}
    assert list(map(str, failures)) == ["lost: weights must be there"]
    assert capsys.readouterr().err == ""


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(TypeError, match="no len"):
        run([Task("bug", tasks.has_bug)], ExecutorParams())
    _, failures = run([Task("bug", tasks.has_bug)], ExecutorParams(), n_threads=2)
    with pytest.raises(TypeError, match="no len") as caught:
        check_all_done(failures)
    assert Path(caught.traceback[-1].path).name == "tasks.py"


def failures_of(*errors: BaseException) -> list[Failure]:
    return [Failure(Task(f"t{i}", tasks.double), error) for i, error in enumerate(errors)]


def test_the_only_failure_speaks_for_itself_and_several_are_listed() -> None:
    check_all_done([])
    with pytest.raises(StoreError, match=r"^torn$"):
        check_all_done(failures_of(StoreError("torn")))
    with pytest.raises(DataError, match=r"got 2 that did not \(t0: torn; t1: late\)"):
        check_all_done(failures_of(StoreError("torn"), DataError("late")))
    with pytest.raises(DataError, match=r"t19: x; and 3 more\)"):
        check_all_done(failures_of(*[DataError("x")] * 23))


class Window(Executor):
    """An executor that ends the oldest of its tasks once it holds six."""

    def __init__(self, end: Callable[[Future[Any]], object]) -> None:
        self.end = end
        self.held: list[Future[Any]] = []

    def submit(self, *_: object, **__: object) -> Future[Any]:
        """Take a task, and never run it."""
        self.held.append(Future())
        if len(self.held) == 6:
            self.end(self.held[0])
        return self.held[-1]


def cancel(future: Future[Any]) -> None:
    """What happens to the tasks of a scheduler that is gone."""
    future.cancel()
    future.set_running_or_notify_cancel()


@pytest.mark.parametrize(
    ("end", "error", "told"),
    [
        pytest.param(lambda future: future.set_result(0), LookupError, "came", id="done"),
        pytest.param(cancel, ConnectionError, "scheduler of the workers", id="scheduler gone"),
    ],
)
def test_no_more_tasks_are_taken_than_workers_have_use_for(
    end: Callable[[Future[Any]], object], error: type[Exception], told: str
) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Task[int]]:
        for i in itertools.count():
            taken.append(i)
            yield Task(f"{i}", tasks.double, (i,))

    def stop(_task: Task[int], _result: int) -> None:
        raise LookupError("came")

    with pytest.raises(error, match=told):
        run_on(Window(end), endless(), stop, n_workers=lambda: 3)
    assert len(taken) == 6


@pytest.mark.slow
def test_local_workers_are_other_processes_that_die_and_come_back(tmp_path: Path) -> None:
    environment = dict(os.environ)
    todo: list[Task[Any]] = [
        Task("die", tasks.die_at_first, (str(tmp_path / "die"), 2)),
        Task("never", tasks.fail_at_first, (str(tmp_path / "never"), N_TRIES)),
        *(Task(f"where {i}", tasks.where, ("CUDA_VISIBLE_DEVICES",)) for i in range(20)),
    ]
    found, failures = run(todo, LOCAL)
    assert found.pop("die") == 3
    assert list(map(str, failures)) == ["never: call 3 must be later"]
    assert os.getpid() not in {pid for pid, _ in found.values()}
    assert os.environ == environment


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_that_are_asked_to_end_keep_what_they_have_and_others_go_on(
    tmp_path: Path,
) -> None:
    with driven({"kind": "local", "n_workers": 2}, tmp_path, ("a", "b")) as run:
        first = run.first("a")
        other = run.first("b")
        for pid in (run.process.pid, first.pid, other.pid):
            assert listens_to(pid) == {"127.0.0.1"}
        os.kill(first.pid, signal.SIGTERM)
        second = run.next_after("a", first)
        assert not first.is_running()
        assert run.kept("a") is not None
        assert run.kept("b") is None

        run.process.send_signal(signal.SIGTERM)
        run.process.wait(timeout=10)
        assert run.process.returncode == 128 + signal.SIGTERM
        assert run.said() == "stopped by SIGTERM: what is done is kept; run it again to go on\n"
        assert run.kept("b") is not None
        wait_until(lambda: not (second.is_running() or other.is_running()), 10)


def test_a_task_whose_workers_die_is_named_in_words() -> None:
    # Imported here because it takes a second, which the other tests need not wait for.
    from distributed import KilledWorker  # noqa: PLC0415

    from stages.executor.clusters import named_deaths  # noqa: PLC0415

    task = Task("shard 3 of drawn/tiny/identity", int)
    dead = named_deaths(Failure(task, KilledWorker("task", None, 2)))  # type: ignore[arg-type]
    with pytest.raises(
        DataError, match=r"workers must live through shard 3 of .*, got all .* dead"
    ):
        check_all_done([dead])
    other = Failure(task, StoreError("own"))
    assert named_deaths(other) is other
