"""docs/cluster.md: cells have the bytes of one process, whatever happens to their workers."""

import getpass
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final
from zipfile import ZipFile

import pytest

from storage.folders import MARK, SUFFIX, TAG
from storage.pool.cell import NPZ, WORK
from tests.fixtures import project_copy
from tests.fixtures.dask_daemons import running_dask
from tests.fixtures.slurm import Slurm, missing, wait_until

FILL: Final = (sys.executable, "-m", "stages.cli", "fill")

POOL: Final = "cache/pool/*/*"
"""Folders with shards of all cells."""

PATIENCE_S: Final = 600.0


@dataclass(frozen=True)
class Fill:
    """The command, at the root of a project."""

    process: "subprocess.Popen[str]"
    log: Path

    def said(self) -> str:
        """What it has written to stderr."""
        return self.log.read_text()


@contextmanager
def filling(root: Path, *cells: str, **environment: str) -> Iterator[Fill]:
    """Run the command with some more variables, and kill it behind the block."""
    with running(root, *FILL[1:], *cells, **environment) as fill:
        yield fill


@contextmanager
def running(root: Path, *arguments: str, **environment: str) -> Iterator[Fill]:
    """Run Python with some arguments and more variables, and kill it behind the block."""
    log = root / "logs" / "fill.err"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=root,
            env=project_copy.environment(root) | environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    with process:
        try:
            yield Fill(process, log)
        finally:
            process.kill()
            print(log.read_text())  # pytest shows it where the test fails


@dataclass(frozen=True)
class Worker:
    """A process that fills cells, the shard that it is at, and its job of SLURM if it has any."""

    pid: int
    shard: str
    job: str

    def beyond(self, root: Path) -> "Worker | None":
        """The worker at another shard, once it has done its shard; None before."""
        if not any(root.glob(f"{POOL}/{self.shard}{NPZ}")):
            return None
        at_work = (worker for worker in workers(root) if worker.pid == self.pid)
        return next((worker for worker in at_work if worker.shard != self.shard), None)

    def wait_for_a_shard(self, root: Path) -> None:
        """Wait until it has done its shard and is at another one."""
        wait_until(lambda: self.beyond(root), PATIENCE_S)


def workers(root: Path) -> list[Worker]:
    """Living processes that compute shards, by the marks of the shards."""
    at_work = []
    for mark in root.glob(f"{POOL}/.*{NPZ}{MARK}"):
        # The shard may be done meanwhile, and the process may have ended.
        with suppress(FileNotFoundError, ProcessLookupError):
            if tag := TAG.fullmatch(mark.read_text()):
                environ = Path("/proc", tag[2], "environ").read_text().split("\0")
                job = dict(entry.split("=", 1) for entry in environ if entry).get("SLURM_JOB_ID")
                at_work.append(Worker(int(tag[2]), mark.name[1:].partition(".")[0], job or ""))
    return at_work


def worker_beyond(root: Path, gone: Collection[int]) -> Worker:
    """Wait until a process that is not in ``gone`` has done a shard and is at another shard.

    Any such process will do: SLURM may start a job again whose place another job has taken, and
    one of the two then ends.
    """
    began: dict[int, Worker] = {}

    def beyond() -> Worker | None:
        for worker in workers(root):
            if worker.pid not in gone:
                began.setdefault(worker.pid, worker)
        at_others = (worker.beyond(root) for worker in began.values())
        return next((worker for worker in at_others if worker), None)

    return wait_until(beyond, PATIENCE_S)


def shards(root: Path) -> dict[str, int]:
    """Finished shards by path, with their inode: a shard that is made again is another file."""
    found = root.glob(f"{POOL}/[0-9a-f]*{NPZ}")
    return {str(path.relative_to(root)): path.stat().st_ino for path in found}


def pool_files(root: Path) -> dict[str, object]:
    """Files of the pool, by their place, without those that a killed process was writing."""
    files = [path for path in root.glob("cache/pool/**/*") if path.is_file()]
    paths = [path for path in files if path.suffix != SUFFIX]
    return {
        str(path.relative_to(root)): rows_in(path) if path.suffix == NPZ else path.read_bytes()
        for path in paths
    }


def rows_in(path: Path) -> dict[str, bytes]:
    """Bytes of the members of a shard's file by name, without who has computed the shard."""
    with ZipFile(path) as archive:
        return {n: archive.read(n) for n in archive.namelist() if Path(n).stem not in WORK}


CELLS: Final = ("shapes_val/large/identity", "shapes_val/tiny/jpeg10")

N_OBJECTS: Final = 72
"""Of each cell."""

SHARD_OBJECTS: Final = 24
"""Of a shard in whose midst a worker is killed: those of about four images."""

JOBS: Final = {"memory": "500MB", "cores": 1, "interface": "lo"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing() or "SLURM is there"),
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with some images of the demo, about seven objects each."""
    root = tmp_path_factory.mktemp("demo") / "project"
    project_copy.copy_files(root)
    project_copy.run(root, "git", "init", "--quiet")
    splits = project_copy.read_params(root)["splits"]
    for place in splits.values():
        place["max_objects"] = N_OBJECTS
    images = {"n_train_images": 2, "n_val_images": N_OBJECTS // 6}
    extract = {"device": "cpu", "shard_objects": 1}
    project_copy.change_params(root, splits=splits, shapes=images, extract=extract)
    project_copy.repro(root, "--glob", "prepare@*")
    return root


@pytest.fixture(autouse=True)
def _no_job_is_left(slurm: Slurm) -> Iterator[None]:
    """Cancel the jobs of a test that fails: the next test waits for an empty queue."""
    yield
    print(slurm.run("squeue"))
    slurm.run("scancel", f"--user={getpass.getuser()}")


def copies(demo: Path, folder: Path, *, shard_objects: int) -> tuple[Path, Path]:
    """A project whose cells jobs of SLURM fill, and a project that is left alone."""
    project, quiet = (shutil.copytree(demo, folder / n, symlinks=True) for n in ("jobs", "quiet"))
    for root in (project, quiet):
        project_copy.change_params(root, extract={"shard_objects": shard_objects})
    project_copy.change_params(project, executor={"kind": "slurm", "slurm": JOBS})
    return project, quiet


def check_same(project: Path, quiet: Path, done: dict[str, int]) -> None:
    """Compare cells with the quiet project's, and with the shards that were done on the way."""
    assert shards(project).items() >= done.items(), "what is done is not done again"
    assert pool_files(project) == pool_files(quiet)


def test_cells_of_jobs_that_are_cancelled_requeued_preempted_and_killed_are_those_of_inline(
    slurm: Slurm, demo: Path, tmp_path: Path
) -> None:
    project, quiet = copies(demo, tmp_path, shard_objects=2)
    gone: list[int] = []
    done: dict[str, int] = {}
    with filling(quiet, *CELLS) as inline, filling(project, *CELLS, **conf(slurm)) as fill:
        for happens in HAPPENS:
            worker = worker_beyond(project, gone)
            happens(Event(slurm, worker, project, fill))
            done |= shards(project)
            if happens is not kill_slurmd:
                gone.append(worker.pid)
        worker_beyond(project, gone)
        for command in (inline, fill):
            assert command.process.wait(PATIENCE_S) == 0, command.said()
    check_same(project, quiet, done)


def conf(slurm: Slurm) -> dict[str, str]:
    """Variable by which the commands of SLURM find it."""
    return {"SLURM_CONF": slurm.environment["SLURM_CONF"]}


@dataclass(frozen=True)
class Event:
    """The worker that something happens to, and its project."""

    slurm: Slurm
    worker: Worker
    root: Path
    fill: Fill

    def node(self) -> str:
        """The worker's node."""
        return self.slurm.run("squeue", "--noheader", f"--jobs={self.worker.job}", "--format=%N")


def cancel(now: Event) -> None:
    now.slurm.run("scancel", now.worker.job)


def requeue(now: Event) -> None:
    now.slurm.run("scontrol", "requeue", now.worker.job)


def tell_its_time_is_up(now: Event) -> None:
    now.slurm.run("scancel", "--signal=USR1", "--batch", now.worker.job)


def preempt(now: Event) -> None:
    everything = ("--partition=urgent", "--nodes=2", "--exclusive")
    now.slurm.run("sbatch", *everything, "--output=/dev/null", "--wrap=true")


def cut_its_power(now: Event) -> None:
    node = now.node()
    now.slurm.kill_node(node)
    now.slurm.start(node)


def kill_slurmd(now: Event) -> None:
    """While the daemon of its node is away, the worker goes on."""
    node = now.node()
    now.slurm.kill(node)
    now.worker.wait_for_a_shard(now.root)
    now.slurm.start(node)


def kill_slurmctld_and_the_worker(now: Event) -> None:
    """While the controller is away, the worker goes on; when it dies, nobody takes its place."""
    os.kill(now.worker.pid, signal.SIGSTOP)  # it would do all the rest meanwhile
    now.slurm.save(now.worker.job)
    now.slurm.kill("slurmctld")
    os.kill(now.worker.pid, signal.SIGCONT)
    now.worker.wait_for_a_shard(now.root)
    os.kill(now.worker.pid, signal.SIGKILL)
    note = "note: waiting for workers of slurm, squeue does not answer"
    wait_until(lambda: note in now.fill.said(), PATIENCE_S)
    now.slurm.start("slurmctld")


HAPPENS: Final = (
    cancel,
    requeue,
    tell_its_time_is_up,
    preempt,
    cut_its_power,
    kill_slurmd,
    kill_slurmctld_and_the_worker,
)


def test_cells_whose_driver_and_then_whose_scheduler_is_killed_are_those_of_inline(
    slurm: Slurm, demo: Path, tmp_path: Path
) -> None:
    project, quiet = copies(demo, tmp_path, shard_objects=SHARD_OBJECTS // 2)
    project_copy.run(quiet, *FILL, *CELLS)
    with filling(project, *CELLS, **conf(slurm)) as fill:
        wait_for_images(project)
        fill.process.kill()
        wait_until(lambda: not slurm.run("squeue", "--noheader"), PATIENCE_S)
    done = shards(project)

    with running_dask(tmp_path, project, project_copy.environment(project)) as dask:
        executor = {"kind": "address", "address": dask.address}
        project_copy.change_params(project, executor=executor)
        with filling(project, *CELLS) as fill:
            wait_for_images(project)
            dask.scheduler.kill()
            assert fill.process.wait(PATIENCE_S) == 1
            note = "error: the scheduler of the workers must stay up, got no answer\n"
            assert fill.said().endswith(note)
            dask.worker.wait(PATIENCE_S)
    done |= shards(project)

    project_copy.change_params(project, executor={"kind": "inline"})
    project_copy.run(project, *FILL, *CELLS)
    check_same(project, quiet, done)


N_EVENTS: Final = 10

EVENTS: Final = (cancel, requeue, tell_its_time_is_up)
"""Each may happen to any job that is at a part."""

SLOW_PARTS: Final = """
publish_at_once = publish_part

def publish_part(*arguments):
    import pathlib, time, uuid
    mark = pathlib.Path("logs", f"part-{uuid.uuid4().hex}")
    mark.touch()
    time.sleep(2)
    return publish_at_once(*arguments)
"""
"""Added to storage/pool/publishing.py: there is a mark of each part that a worker has begun."""


def test_a_cell_whose_publishing_jobs_meet_ten_random_events_has_the_bytes_of_inline(
    slurm: Slurm, demo: Path, tmp_path: Path
) -> None:
    project, quiet = copies(demo, tmp_path, shard_objects=2)
    cell = CELLS[1].split("/")
    for root in (project, quiet):  # small chunks make many parts
        grid = root / "storage/store/chunk_grid.py"
        grid.write_text(
            grid.read_text().replace("CHUNK_ROWS: Final = 1024", "CHUNK_ROWS: Final = 3")
        )
        project_copy.run(root, sys.executable, "-m", "stages.prepare", cell[0])
    project_copy.run(quiet, sys.executable, "-m", "stages.extract", *cell)
    shutil.copytree(quiet / "cache/pool", project / "cache/pool")
    project_copy.change_params(
        project, executor={"kind": "slurm", "slurm": JOBS | {"min_jobs": 2, "max_jobs": 2}}
    )
    with (project / "storage/pool/publishing.py").open("a") as code:
        code.write(SLOW_PARTS)
    random = Random(58)

    def n_begun() -> int:
        return len([*project.glob("logs/part-*")])

    with running(project, "-m", "stages.extract", *cell, **conf(slurm)) as stage:
        for _ in range(N_EVENTS):
            n_before = n_begun()
            wait_until(partial(at_least, n_begun, n_before + 1), PATIENCE_S)
            jobs = slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()
            worker = Worker(0, "", random.choice(jobs))
            random.choice(EVENTS)(Event(slurm, worker, project, stage))
        assert stage.process.wait(PATIENCE_S) == 0, stage.said()
    assert n_begun() > N_OBJECTS // 3, "parts were begun again"
    assert [*project.glob("logs/slurm/usam-publish-shapes_val-tiny-jpeg10-*.err")]
    for kind in ("features", "masks"):
        store = Path("cache", kind, *cell).with_suffix(".zarr")
        made, wanted = (
            {path.relative_to(root): data for path, data in stored(root / store).items()}
            for root in (project, quiet)
        )
        assert made == wanted


def at_least(count: Callable[[], int], least: int) -> bool:
    """Whether a number has grown."""
    return count() >= least


def stored(store: Path) -> dict[Path, bytes]:
    """Files of a store."""
    return {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


def wait_for_images(root: Path) -> None:
    """Wait until a worker has done a shard and is in the middle of another one."""
    worker, *_ = wait_until(lambda: workers(root), PATIENCE_S)
    began = time.monotonic()
    worker.wait_for_a_shard(root)
    time.sleep((time.monotonic() - began) / 2)
