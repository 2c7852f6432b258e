"""Killed at any disk operation, a cell is resumed to the bytes of an undisturbed one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.fixtures.made_up_cell import N_SHARDS, ORIGINAL, extract, outputs

KILLED = -9
N_MOMENTS = int(os.environ.get("USAM_KILL_MOMENTS", "10"))
"""Disk operations tried a test; the suite takes some at random, 999 takes every one."""

CHANGED = (0, 1, 0)


class Ran(NamedTuple):
    """How processes ended, and the disk operations of the last one."""

    statuses: list[int]
    n_operations: int


Run = Callable[..., Ran]

FORMER = """
import sys
from pathlib import Path
from tests.fixtures.made_up_cell import ORIGINAL, images_of, open_cell, rows_of

root = Path(sys.argv[1])
cell = open_cell(root)
while not (root / "end").exists():
    cell.write_shard(1, rows_of(1), images_of(ORIGINAL)[1])
    (root / "begun").touch()
"""
"""Writes a shard of the former images again and again."""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Extract in other processes, at the same time, that die at a disk operation each."""
    command = [sys.executable, "-m", "tests.fixtures.made_up_cell"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        stdin, stdout = p.stdin, p.stdout
        assert stdin is not None
        assert stdout is not None

        def together(root: Path, versions: Sequence[int], *die_at: int) -> Ran:
            job = {"root": str(root), "versions": list(versions), "die_at": list(die_at)}
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
            answer = json.loads(stdout.readline())
            return Ran(answer["statuses"], answer["count"])

        yield together
        stdin.close()


def moments(n_operations: int, seed: int) -> list[int]:
    """Operations at which to die, the first and the last always among them."""
    rng = np.random.default_rng(seed)
    inner = rng.permutation(np.arange(2, n_operations))[: N_MOMENTS - 2]
    return sorted({1, *inner.tolist(), n_operations})


def test_killed_anywhere_the_next_run_gives_the_bytes_of_an_undisturbed_one(
    run: Run, tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole", ORIGINAL, 0)
    assert whole.statuses == [0]
    wanted = outputs(tmp_path / "whole")
    assert len(wanted) > 20
    for moment in moments(whole.n_operations, seed=1):
        root = tmp_path / str(moment)
        assert run(root, ORIGINAL, moment).statuses == [KILLED]
        assert run(root, ORIGINAL, 0).statuses == [0]
        assert outputs(root) == wanted, f"killed at operation {moment}"
        assert not list(root.glob("[fm]*/.*")), "what the kill left is swept"


def test_killed_again_and_again_it_is_complete_after_all(run: Run, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", ORIGINAL, 0)
    root = tmp_path / "disturbed"
    n_kills = 0
    while run(root, ORIGINAL, 50 * (n_kills + 1)).statuses == [KILLED]:
        n_kills += 1
        assert 50 * n_kills < whole.n_operations
    assert n_kills > 2
    assert outputs(root) == outputs(tmp_path / "whole")


@pytest.mark.parametrize("then", [CHANGED, ORIGINAL], ids=["goes_on", "image_put_back"])
def test_killed_while_a_shard_is_done_again_no_shard_mixes_two_images(
    run: Run, tmp_path: Path, then: Sequence[int]
) -> None:
    run(tmp_path / "wanted", then, 0)
    wanted = outputs(tmp_path / "wanted")
    extract(tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "whole")
    whole = run(tmp_path / "whole", CHANGED, 0)
    for moment in moments(whole.n_operations, seed=2):
        root = shutil.copytree(tmp_path / "before", tmp_path / str(moment))
        assert run(root, CHANGED, moment).statuses == [KILLED]
        assert run(root, then, 0).statuses == [0]
        assert outputs(root) == wanted, f"killed at operation {moment}"


def test_a_kill_costs_no_more_than_the_shard_in_flight(run: Run, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", ORIGINAL, 0)
    for moment in moments(whole.n_operations, seed=3)[-4:]:
        root = tmp_path / str(moment)
        run(root, ORIGINAL, moment)
        n_marked = len(list(root.glob("work/*/*/*/*/marks/[0-9]*.json")))
        assert len(extract(root)) == N_SHARDS - n_marked


@pytest.mark.slow
def test_processes_at_one_cell_that_are_killed_give_the_bytes_of_one_undisturbed(
    run: Run, tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole", ORIGINAL, 0)
    wanted = outputs(tmp_path / "whole")
    rng = np.random.default_rng(4)
    for round_ in range(N_MOMENTS // 2):
        root = tmp_path / str(round_)
        dying = rng.integers(1, whole.n_operations, 3).tolist()
        ended = run(root, ORIGINAL, *dying, 0)
        assert ended.statuses[-1] == 0, f"beside processes that die at {dying}"
        found = {name: data for name, data in outputs(root).items() if ".partial/" not in name}
        assert found == wanted
        assert run(root, ORIGINAL, 0, 0).statuses == [0, 0]
        assert outputs(root) == wanted, "what the kills left is swept"


@pytest.mark.slow
def test_processes_with_other_images_publish_no_mixture(run: Run, tmp_path: Path) -> None:
    run(tmp_path / "wanted", CHANGED, 0)
    wanted = outputs(tmp_path / "wanted")
    before = tmp_path / "before"
    extract(before)
    rng = np.random.default_rng(5)
    whole = run(shutil.copytree(before, tmp_path / "whole"), CHANGED, 0)
    for round_ in range(N_MOMENTS // 4):
        root = shutil.copytree(before, tmp_path / str(round_))
        former = subprocess.Popen([sys.executable, "-c", FORMER, str(root)])
        while not (root / "begun").exists():
            assert former.poll() is None
        run(root, CHANGED, int(rng.integers(1, whole.n_operations)), 0)
        (root / "end").touch()
        assert former.wait() == 0
        assert run(root, CHANGED, 0).statuses == [0]
        assert outputs(root) == wanted
