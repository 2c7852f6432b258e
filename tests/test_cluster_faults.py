"""docs/cluster.md: whatever happens to those who fill the demo's cells, the bytes are inline's."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from storage.cell.claims import read_claim
from storage.folders import SUFFIX
from storage.store.marks import Receipt, load_mark
from storage.writers import Writer
from tests.fixtures import project_copy
from tests.fixtures.dask_daemons import running_dask
from tests.fixtures.demo_cells import draw_demo, set_executor
from tests.fixtures.slurm import Slurm, missing, wait_until

FILL: Final = (sys.executable, "-m", "stages.cli", "fill")

WORK: Final = "cache/work/*/*/*/*"
"""Work folders of all cells."""

PATIENCE_S: Final = 120.0


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
    log = root / "logs" / "fill.err"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*FILL, *cells],
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


def worker_beyond(root: Path, gone: Collection[int] = ()) -> Writer:
    """Wait until a process that is none of others has done a shard and is at another."""
    found: list[Writer] = []

    def is_at_work() -> bool:
        makers = {receipt.writer.pid for receipt in receipts(root)} - {*gone}
        found[:] = [claim for claim in claims_undone(root) if claim.pid in makers]
        return bool(found)

    wait_until(is_at_work, PATIENCE_S)
    return found[0]


def claims_undone(root: Path) -> list[Writer]:
    """Who is at shards that are not done."""
    claims = [path for path in root.glob(f"{WORK}/claims/*.json") if not is_done(path)]
    return [writer for writer in map(read_claim, claims) if writer is not None]


def is_done(claim: Path) -> bool:
    """Whether the shard of a claim is marked."""
    return (claim.parent.parent / "marks" / claim.name).exists()


def marks(root: Path) -> dict[str, bytes]:
    """Marks of shards by their place; a shard that is made again has another one."""
    return {str(path.relative_to(root)): path.read_bytes() for path in _marks(root)}


def receipts(root: Path) -> list[Receipt]:
    """Who made each shard that is done."""
    found = [load_mark(path.parent.parent, int(path.stem)) for path in _marks(root)]
    return [mark.receipt for mark in found if mark is not None and mark.receipt is not None]


def work_files(root: Path) -> dict[str, bytes]:
    """Files of the stores in the making, by their place.

    Without those that a killed process was writing: nobody reads them.
    """
    return {
        str(path.relative_to(root)): path.read_bytes()
        for store in root.glob(f"{WORK}/*.zarr")
        for path in store.rglob("*")
        if path.is_file() and path.suffix != SUFFIX
    }


def _marks(root: Path) -> list[Path]:
    return list(root.glob(f"{WORK}/marks/*.json"))


CELLS: Final = ("shapes_val/large/identity", "shapes_val/tiny/jpeg10")

N_OBJECTS: Final = 96
"""Of each cell."""

SHARD_OBJECTS: Final = 48
"""Where images of a shard are to be kept: those of seven."""

JOBS: Final = {"memory": "500MB", "cores": 1, "interface": "lo"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=missing() or "SLURM is there"),
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with some images of the demo, about seven objects each."""
    root = tmp_path_factory.mktemp("demo") / "project"
    images = {"n_train_images": 2, "n_val_images": N_OBJECTS // 6}
    draw_demo(root, max_objects=N_OBJECTS, shard_objects=1, **images)
    return root


def copies(demo: Path, folder: Path, *, shard_objects: int) -> tuple[Path, Path]:
    """A project whose cells are to be filled by jobs of SLURM, and one that nothing happens to."""
    project, quiet = (shutil.copytree(demo, folder / n, symlinks=True) for n in ("jobs", "quiet"))
    for root in (project, quiet):
        params = project_copy.read_params(root)
        params["extract"]["shard_objects"] = shard_objects
        project_copy.write_params(root, params)
    set_executor(project, kind="slurm", slurm=JOBS)
    return project, quiet


def check_same(project: Path, quiet: Path, done: dict[str, bytes]) -> None:
    """Hold cells to those of the quiet project, and to the shards that were done on the way."""
    assert marks(project).items() >= done.items(), "what is done is not done again"
    assert marks(project).keys() == marks(quiet).keys()
    assert work_files(project) == work_files(quiet)


def test_cells_of_jobs_that_are_cancelled_requeued_preempted_and_killed_are_those_of_inline(
    slurm: Slurm, demo: Path, tmp_path: Path
) -> None:
    project, quiet = copies(demo, tmp_path, shard_objects=2)
    gone: list[int] = []
    done: dict[str, bytes] = {}
    with filling(quiet, *CELLS) as inline, filling(project, *CELLS, **conf(slurm)) as fill:
        for happens in HAPPENS:
            worker = worker_beyond(project, gone)
            happens(Event(slurm, worker, project, fill))
            done |= marks(project)
            if happens is not kill_slurmd:
                gone.append(worker.pid)
        worker_beyond(project, gone)
        for each in (inline, fill):
            assert each.process.wait(PATIENCE_S) == 0, each.said()
    check_same(project, quiet, done)


def conf(slurm: Slurm) -> dict[str, str]:
    """Where the commands of SLURM find it."""
    return {"SLURM_CONF": slurm.environment["SLURM_CONF"]}


@dataclass(frozen=True)
class Event:
    """Who is at the cells of a project when something happens."""

    slurm: Slurm
    worker: Writer
    root: Path
    fill: Fill

    def node(self) -> str:
        """Where the worker is."""
        return self.slurm.run("squeue", "--noheader", f"--jobs={self.worker.job}", "--format=%N")

    def wait_for_a_shard(self) -> None:
        """Wait until the worker itself has done one more."""

        def n_made() -> int:
            return sum(receipt.writer == self.worker for receipt in receipts(self.root))

        before = n_made()
        wait_until(lambda: n_made() > before, PATIENCE_S)


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
    now.wait_for_a_shard()
    now.slurm.start(node)


def kill_slurmctld_and_the_worker(now: Event) -> None:
    """While the controller is away, the worker goes on; when it dies, nobody takes its place."""
    os.kill(now.worker.pid, signal.SIGSTOP)  # it would do all the rest meanwhile
    now.slurm.save(now.worker.job)
    now.slurm.kill("slurmctld")
    os.kill(now.worker.pid, signal.SIGCONT)
    now.wait_for_a_shard()
    os.kill(now.worker.pid, signal.SIGKILL)
    said = "note: waiting for workers of slurm"
    wait_until(lambda: said in now.fill.said(), PATIENCE_S)
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
    project, quiet = copies(demo, tmp_path, shard_objects=SHARD_OBJECTS)
    project_copy.run(quiet, *FILL, *CELLS)
    with filling(project, *CELLS, **conf(slurm)) as fill:
        wait_for_images(project)
        fill.process.kill()
        wait_until(lambda: not slurm.run("squeue", "--noheader"), PATIENCE_S)
    done = marks(project)

    with running_dask(tmp_path, project, project_copy.environment(project)) as dask:
        set_executor(project, kind="address", address=dask.address)
        with filling(project, *CELLS) as fill:
            wait_for_images(project)
            dask.scheduler.kill()
            assert fill.process.wait(PATIENCE_S) == 1
            said = "error: the scheduler of the workers must stay up, got no answer\n"
            assert fill.said().endswith(said)
            dask.worker.wait(PATIENCE_S)
    done |= marks(project)

    set_executor(project, kind="inline")
    project_copy.run(project, *FILL, *CELLS)
    check_same(project, quiet, done)


def wait_for_images(root: Path) -> None:
    """Wait until a new worker has done a shard and is in the middle of another one."""
    worker_beyond(root, [receipt.writer.pid for receipt in receipts(root)])
    made = receipts(root)
    seconds = sum(each.seconds for each in made) / sum(each.n_objects for each in made)
    time.sleep(seconds * SHARD_OBJECTS / 2)
