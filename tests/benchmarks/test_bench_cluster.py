"""The demo's cells on SLURM, and while workers are killed: bytes are those of one process."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from storage.folders import TAG
from tests.fixtures.demo_cells import draw_demo, environment, published, set_executor, whole_cells
from tests.fixtures.doc_pages import SCRIPTS
from tests.fixtures.driven import Driven, Worker, driven
from tests.fixtures.slurm import Slurm, missing, running_slurm, wait_until
from tools.bars import note_bar

N_CELLS: Final = 28
"""24 to be scored and 4 to learn from."""

N_OBJECTS: Final = 4
"""Of each split, in two shards."""

JOBS: Final = {"memory": "500MB", "cores": 1, "interface": "lo", "min_jobs": 2, "max_jobs": 2}

PATIENCE_S: Final = 1200.0

MINUTE_S: Final = 60.0
"""The shortest time that SLURM grants."""

SIGNAL: Final = "--signal=B:USR1@50"
"""Up to half a minute early, that is, when a worker has begun."""

KILL_EVERY_S: Final = 20.0
N_KILLS: Final = 6
UNDISTURBED_S: Final = 135.0
"""So much work that it lasts two minutes when workers are killed, which costs little of it."""


@pytest.mark.skipif(bool(missing()), reason=missing() or "SLURM is there")
def test_all_cells_by_the_executor_and_by_an_array_have_the_bytes_of_inline(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, benchmark: BenchmarkFixture
) -> None:
    drawn = tmp_path / "drawn"
    small = {"n_train_images": 2, "n_val_images": 2}
    draw_demo(drawn, max_objects=N_OBJECTS, shard_objects=N_OBJECTS // 2, **small)
    with running_slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        fills = {"inline": fill_inline, "slurm": fill_by_executor, "array": fill_by_array}
        seconds, found = {}, {}
        for kind, fill in fills.items():
            root = shutil.copytree(drawn, tmp_path / kind, symlinks=True)
            started = time.perf_counter()
            if kind == "slurm":
                benchmark.pedantic(fill, (slurm, root), rounds=1)  # type: ignore[no-untyped-call]
            else:
                fill(slurm, root)
            seconds[kind] = time.perf_counter() - started
            cells = whole_cells(root)
            assert len(cells) == N_CELLS
            found[kind] = published(root, cells)
    print("; ".join(f"{kind} {value:.0f} s" for kind, value in seconds.items()))
    assert len(found["inline"]) > N_CELLS
    for kind in ("slurm", "array"):
        same = sum(found[kind].get(name) == data for name, data in found["inline"].items())
        what = "files of all cells, by SLURM's workers or an array, byte-equal to inline's"
        note_bar(benchmark, what, same / len(found["inline"]), at_least=1, case=kind)
        assert found[kind] == found["inline"]


@pytest.mark.skipif(bool(missing()), reason=missing() or "SLURM is there")
def test_slurm_itself_tells_a_worker_and_an_array_that_their_time_is_nearly_up(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, benchmark: BenchmarkFixture
) -> None:
    drawn, folder = tmp_path / "drawn", tmp_path / "worker"
    draw_demo(drawn, max_objects=None, shard_objects=32)
    folder.mkdir()
    # Of two options of one name, sbatch takes the later one.
    short = {"walltime": "00:01:00", "directives": [SIGNAL], "min_jobs": 1, "max_jobs": 1}
    executor = {"kind": "slurm", "slurm": JOBS | short}
    with (
        running_slurm(tmp_path_factory.mktemp("slurm")) as slurm,
        driven(executor, folder, ("a",), slurm.environment) as run,
    ):
        array = submitted(slurm, drawn, "--time=1", SIGNAL, "--array=1-1")
        first = run.first("a")
        left_s = benchmark.pedantic(time_left, (run, first), rounds=1)  # type: ignore[no-untyped-call]
        note_bar(benchmark, "time that SLURM leaves a worker to go", left_s, at_least=5, unit="s")
        run.next_after("a", first)
        run.finish()
        assert {slurm.state(first.job), ended(slurm, array)} == {"COMPLETED"}
    said = "stopped by SIGUSR1: finished shards are kept in cache/pool; run it again"
    assert said in logs_of(drawn)


def time_left(run: Driven, worker: Worker) -> float:
    """Wait for a worker to go; how much is left then of the minute since it began."""
    began = (run.folder / "a.worker").stat().st_mtime
    wait_until(lambda: not worker.is_running(), PATIENCE_S)
    return MINUTE_S - (time.time() - began)


def fill_inline(slurm: Slurm, root: Path) -> None:
    """One process does it all."""
    said = slurm.run("usam", "fill", cwd=root, environment=environment(root))
    assert said.startswith(f"filled {2 * N_CELLS} shards of {N_CELLS} cells; ")


def fill_by_executor(slurm: Slurm, root: Path) -> None:
    """The executor hands in two jobs."""
    set_executor(root, kind="slurm", slurm=JOBS)
    fill_inline(slurm, root)
    assert list((root / "logs" / "slurm").glob("usam-worker-*.err"))
    set_executor(root, kind="inline")


def fill_by_array(slurm: Slurm, root: Path) -> None:
    """An array of two tasks, by the script of docs/cluster.md."""
    job = submitted(slurm, root, "--array=1-2")
    assert ended(slurm, job) == "COMPLETED", logs_of(root)


def submitted(slurm: Slurm, root: Path, *options: str) -> str:
    """Hand in that script; the number of its job."""
    (root / "fill.sh").write_text(SCRIPTS["fill.sh"])
    (root / "logs" / "slurm").mkdir(parents=True)
    command = ("sbatch", "--parsable", *options, "fill.sh")
    return slurm.run(*command, cwd=root, environment=environment(root))


def ended(slurm: Slurm, job: str) -> str:
    """How a job ended, with all tasks of an array."""
    going = {"PENDING", "RUNNING", "COMPLETING"}
    wait_until(lambda: not going & set(slurm.state(job).split()), PATIENCE_S)
    return " ".join(sorted(set(slurm.state(job).split())))


def logs_of(root: Path) -> str:
    """What the tasks of the script have printed."""
    return "".join(log.read_text() for log in (root / "logs" / "slurm").glob("fill-*.out"))


def test_a_worker_killed_every_20_s_for_two_minutes_costs_no_row(
    tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    drawn = tmp_path / "drawn"
    # More than the demo's images, which take two workers less than two minutes.
    draw_demo(drawn, max_objects=None, shard_objects=32, n_train_images=240, n_val_images=60)
    set_executor(drawn, kind="local", n_workers=2)
    quiet = shutil.copytree(drawn, tmp_path / "quiet", symlinks=True)
    with started(quiet) as process:
        try:
            process.wait(UNDISTURBED_S)
        except subprocess.TimeoutExpired:
            process.terminate()
        said = process.communicate()[1]
    assert process.returncode == 0, said
    cells = whole_cells(quiet)
    assert cells
    n_killed = benchmark.pedantic(fill_under_a_killer, (drawn, cells), rounds=1)  # type: ignore[no-untyped-call]
    note_bar(
        benchmark, "workers killed in two minutes, with no byte changed", n_killed, at_least=N_KILLS
    )
    print(f"{len(cells)} cells, {n_killed} workers killed")
    assert n_killed >= N_KILLS
    assert published(drawn, cells) == published(quiet, cells)


def started(root: Path, *cells: str) -> "subprocess.Popen[str]":
    """``usam fill`` in a process of its own."""
    command = ["usam", "fill", *cells]
    env = environment(root)
    return subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.PIPE, text=True)


def fill_under_a_killer(root: Path, cells: list[str]) -> int:
    """Fill cells while a worker is killed every 20 s, for two minutes; how many were."""
    n_killed = 0
    with started(root, *cells) as process:
        while process.poll() is None:
            try:
                process.wait(KILL_EVERY_S)
            except subprocess.TimeoutExpired:
                n_killed += n_killed < N_KILLS and killed_one(root)
        said = process.communicate()[1]
    assert process.returncode == 0, said
    return n_killed


def killed_one(root: Path) -> bool:
    """Kill a worker that is at a shard, if any is."""
    for begun in sorted(root.glob("cache/pool/*/.*.partial")):
        tag = TAG.search(begun.name)
        assert tag is not None
        with suppress(ProcessLookupError):  # one that was killed before
            os.kill(int(tag[2]), signal.SIGKILL)
            return True
    return False
