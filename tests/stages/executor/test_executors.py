"""Executors: every task is done as soon as possible, and a task that fails is named."""

import os
import re
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from typing import Any, Final, cast
from unittest.mock import Mock

import pytest
import requests
from distributed import Client, KilledWorker

from stages.executor import workers
from stages.executor.executors import executor_of
from stages.executor.tasks import N_TRIES, Done, Failure, Task, in_threads, results_of
from stages.executor.watch import TIMEOUT_S
from stages.program.stopping import naming_extras
from stages.settings.blocks import ExecutorParams
from storage.errors import DataError, StoreError
from tests.fixtures import tasks
from tests.fixtures.dask_daemons import running_scheduler
from tests.fixtures.driven import PATIENCE_S, driven, listens_to
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
    results: dict[str, Any] = {}
    failures = []
    with executor_of(params, n_threads=n_threads) as run:
        for ended in run(todo):
            assert ended.task.name not in results
            if isinstance(ended, Failure):
                failures.append(ended)
            else:
                results[ended.task.name] = ended.result
    return results, failures


def test_an_encrypted_scheduler_without_keys_is_named() -> None:
    params = ExecutorParams(kind="address", address="tls://127.0.0.1:9")
    with pytest.raises(
        ConnectionError, match="Dask has keys for if it is tls://, got no answer from tls://127"
    ):
        run([Task("double", tasks.double, (4,))], params)


@pytest.mark.parametrize("banner", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["silent", "ssh"])
def test_a_port_that_is_no_schedulers_is_named_within_15_s(
    banner: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TIMEOUT_S < 15
    monkeypatch.setattr(workers, "TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as stack:

        def answer() -> None:
            stack.enter_context(server.accept()[0]).sendall(banner)

        Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"a Dask scheduler, .*, got no .* {address}$"):
            run([], ExecutorParams(kind="address", address=address))


def test_the_address_of_a_worker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def kind_at(_address: str) -> str:
        return "Worker"

    monkeypatch.setattr(workers, "_kind_at", kind_at)
    with pytest.raises(ConnectionError, match=r"got a Worker from tcp://h:1$"):
        workers.check_scheduler("tcp://h:1")


def test_a_lost_scheduler_is_named_though_dask_closes_the_client_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    close = Client.close

    def close_too(client: Client, timeout: float) -> None:
        """Where Dask closes a connection at the same time, asyncio refuses to end it again."""
        close(client, timeout)  # type: ignore[no-untyped-call]
        message = "Cannot change state of expiring Timeout"
        raise RuntimeError(message)

    monkeypatch.setattr(Client, "close", close_too)
    with (
        running_scheduler(tmp_path) as (_, address),
        pytest.raises(ConnectionError, match="must stay up"),
        executor_of(ExecutorParams(kind="address", address=address)),
    ):
        raise ConnectionError("the scheduler of the workers must stay up, got no answer")


@pytest.mark.parametrize(("params", "n_threads"), KINDS)
def test_every_task_is_done_once(params: ExecutorParams, n_threads: int) -> None:
    todo = [Task(f"double {i}", tasks.double, (i,)) for i in range(50)]
    results, failures = run(todo, params, n_threads)
    assert results == {f"double {i}": 2 * i for i in range(50)}
    assert failures == []


@pytest.mark.parametrize(("params", "n_threads"), KINDS)
def test_a_task_that_fails_is_named_and_the_rest_goes_on(
    params: ExecutorParams, n_threads: int, tmp_path: Path
) -> None:
    notes = tmp_path / "never"
    todo = [
        Task("never", tasks.fail_at_first, (str(notes), N_TRIES)),
        Task("double", tasks.double, (4,)),
    ]
    results, failures = run(todo, params, n_threads)
    assert results == {"double": 8}
    assert list(map(str, failures)) == ["never: call 1 must be later"]
    assert notes.read_text() == "x"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(TypeError, match="no len"):
        run([Task("bug", tasks.has_bug)], ExecutorParams())
    with pytest.raises(TypeError, match="no len") as caught:
        run([Task("bug", tasks.has_bug)], ExecutorParams(), n_threads=2)
    assert Path(caught.traceback[-1].path).name == "tasks.py"


def results_where(*errors: BaseException) -> list[int]:
    """Results of tasks that all failed, a task per error."""
    failures = [Failure(Task(f"t{i}", tasks.double), error) for i, error in enumerate(errors)]
    return results_of(lambda _: iter(failures), [])


def test_the_only_failure_speaks_for_itself_and_several_are_listed() -> None:
    with pytest.raises(StoreError, match=r"^torn$"):
        results_where(StoreError("torn"))
    with pytest.raises(DataError, match=r"got 2 that did not \(t0: torn; t1: late\)"):
        results_where(StoreError("torn"), DataError("late"))
    with pytest.raises(DataError, match=r"t19: x and 3 more\)"):
        results_where(*[DataError("x")] * 23)
    with pytest.raises(TypeError, match="no len"):
        results_where(StoreError("torn"), TypeError("no len"))


@pytest.mark.parametrize("n_threads", [1, 3])
def test_no_task_is_begun_once_the_caller_has_left(n_threads: int) -> None:
    gate, begun = Event(), list[int]()

    def wait_but_first(number: int) -> None:
        begun.append(number)
        assert number == 0 or gate.wait(60)

    def stop(_task: Task[None], _result: None) -> None:
        raise LookupError("came")

    todo = [Task(f"{i}", wait_but_first, (i,)) for i in range(100)]
    with (
        pytest.raises(LookupError, match="came"),
        executor_of(ExecutorParams(), n_threads=n_threads) as run,
    ):
        results_of(run, todo, stop)
    gate.set()
    for thread in enumerate_threads():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(60)
    assert len(begun) <= 1 + n_threads


def test_a_task_whose_workers_died_is_run_again_alone_before_it_is_blamed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault, unused = DataError("its own fault"), Mock()

    def run_together(*arguments: Any) -> Iterator[Done[Any] | Failure]:  # noqa: ANN401
        todo = [*arguments[-1]]
        calls.append([task.name for task in todo])
        for task in todo:
            died = KilledWorker(task.name, unused, 2)
            if task.name == "deadly" or len(todo) > 1:
                yield Failure(task, died) if task.name != "first" else Done(task, 1)
            else:
                yield Failure(task, fault) if task.name == "faulty" else Done(task, 2)

    calls: list[list[str]] = []
    monkeypatch.setattr(workers, "_run_together", run_together)
    names = ["first", "waited", "deadly", "faulty"]
    todo = [Task(name, tasks.double) for name in names]
    outcomes: dict[str, Any] = {
        outcome.task.name: outcome for outcome in workers._run(unused, 1, todo)
    }
    assert calls == [names, ["waited"], ["deadly"], ["faulty"]]
    assert [outcomes[name].result for name in names[:2]] == [1, 2]
    assert str(outcomes["deadly"]).startswith("deadly: workers must live through deadly, got all")
    assert outcomes["faulty"].error is fault
    assert capsys.readouterr().err.count("it is run again alone, after the others") == 3


@pytest.mark.slow
def test_local_workers_are_other_processes_that_die_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # for what workers must see there
    todo: list[Task[Any]] = [
        Task("die", tasks.die_at_first, (str(tmp_path / "die"), 2)),
        Task("never", tasks.fail_at_first, (str(tmp_path / "never"), 99)),
        Task("deadly", tasks.die_at_first, (str(tmp_path / "deadly"), 99)),
        Task("bug", tasks.has_bug),
        *(Task(f"where {i}", tasks.where, ("CUDA_VISIBLE_DEVICES",)) for i in range(20)),
    ]
    results, failures = run(todo, LOCAL)
    assert results.pop("die") >= 3, "once more if its result was lost with a worker"
    (bug,) = (failure.error for failure in failures if failure.task.name == "bug")
    assert any(entry.name == "has_bug" for entry in traceback.extract_tb(bug.__traceback__))
    _, deadly, never = sorted(map(str, failures))
    assert deadly.startswith("deadly: workers must live through deadly, got all that tried it dead")
    assert re.fullmatch(rf"never: call [{N_TRIES}-9] must be later", never)
    assert len(results) == 20
    assert os.getpid() not in {pid for pid, _ in results.values()}


@pytest.mark.slow
def test_tasks_that_wait_at_a_worker_are_not_blamed_for_its_deaths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    todo: list[Task[Any]] = [
        Task("deadly", tasks.die_at_first, (str(tmp_path / "deadly"), 99)),
        *(Task(f"waits {i}", tasks.double, (i,)) for i in range(3)),
    ]
    with executor_of(ExecutorParams(kind="local", n_workers=1)) as run:
        watch, _ = cast("partial[Any]", run).args
        # As where SLURM has started one job of four.
        outcomes = list(workers._run(watch, len(todo), todo))
    failed = [outcome.task.name for outcome in outcomes if isinstance(outcome, Failure)]
    assert failed == ["deadly"]
    assert sum(isinstance(outcome, Done) for outcome in outcomes) == 3


@pytest.mark.slow
def test_each_local_worker_has_a_gpu_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    todo = [Task(f"where {i}", tasks.where, ("CUDA_VISIBLE_DEVICES",)) for i in range(20)]
    results: dict[int, str | None] = {}

    def note(_task: Task[tuple[int, str | None]], result: tuple[int, str | None]) -> None:
        pid, gpu = result
        assert results.setdefault(pid, gpu) == gpu

    with executor_of(ExecutorParams(kind="local"), uses_gpu=True) as run:
        assert len(results_of(run, todo, note)) == len(todo)
    assert len(set(results.values())) == len(results)
    assert set(results.values()) <= {"3", "5"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_that_are_asked_to_end_do_and_others_go_on(
    tmp_path: Path,
) -> None:
    with driven({"kind": "local", "n_workers": 2}, tmp_path, ("a", "b")) as run:
        first = run.first("a")
        other_worker = run.first("b")
        for pid in (run.process.pid, first.pid, other_worker.pid):
            assert listens_to(pid) == {"127.0.0.1"}
        os.kill(first.pid, signal.SIGTERM)
        second = run.next_after("a", first)
        assert not first.is_running()

        run.process.send_signal(signal.SIGTERM)
        run.process.wait(timeout=PATIENCE_S)
        assert run.process.returncode == 128 + signal.SIGTERM
        stopped = "stopped by SIGTERM: what is done is kept; run it again to go on\n"
        assert run.said_at_last() == stopped
        wait_until(lambda: not (second.is_running() or other_worker.is_running()), PATIENCE_S)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_end_when_their_driver_is_killed(tmp_path: Path) -> None:
    with driven({"kind": "local", "n_workers": 2}, tmp_path, ("a", "b")) as run:
        workers = [run.first("a"), run.first("b")]
        run.process.kill()
        wait_until(lambda: not any(worker.is_running() for worker in workers), PATIENCE_S)


@pytest.mark.slow
def test_pages_of_dask_are_where_the_note_says_and_group_tasks_by_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("bokeh")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with executor_of(ExecutorParams(kind="local", n_workers=1, dashboard=True)) as run:
        results_of(run, [Task("the double", tasks.double, (4,))])
        dashboard, metrics = re.findall(r"http://127\.0\.0\.1:\d+/\w+", capsys.readouterr().err)
        assert "Dask" in requests.get(dashboard, timeout=PATIENCE_S).text
        assert 'task_prefix_name="double"' in requests.get(metrics, timeout=PATIENCE_S).text


def test_pages_of_dask_without_their_extra_name_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "bokeh", None)
    params = ExecutorParams(kind="local", n_workers=1, dashboard=True)
    with pytest.raises(SystemExit), naming_extras(), executor_of(params):
        pass
    assert capsys.readouterr().err == (
        "error: bokeh must be installed, got none: pip install 'usam-cache[dashboard]'\n"
    )


def test_results_come_in_the_order_of_the_items() -> None:
    def work(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return 2 * item

    assert list(in_threads(work, range(9))) == list(range(0, 18, 2))


def test_an_error_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda item: 1 // item, [1, 0]))
