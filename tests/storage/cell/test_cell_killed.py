"""Killed at any disk operation, a cell is resumed to the bytes of an undisturbed one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.made_up_cell import N_SHARDS, ORIGINAL, extract, outputs

KILLED = -9
N_MOMENTS = int(os.environ.get("USAM_KILL_MOMENTS", "10"))
"""Disk operations tried a test; the suite takes some at random, 999 takes every one."""

CHANGED = (0, 1, 0)

Run = Callable[[Path, Sequence[int], int], dict[str, int]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Extract in another process that dies at a disk operation."""
    command = [sys.executable, "-m", "tests.fixtures.made_up_cell"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        stdin, stdout = p.stdin, p.stdout
        assert stdin is not None
        assert stdout is not None

        def one(root: Path, versions: Sequence[int], die_at: int) -> dict[str, int]:
            job = {"root": str(root), "versions": list(versions), "die_at": die_at}
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
            answer: dict[str, int] = json.loads(stdout.readline())
            return answer

        yield one
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
    assert whole["status"] == 0
    wanted = outputs(tmp_path / "whole")
    assert len(wanted) > 20
    for moment in moments(whole["count"], seed=1):
        root = tmp_path / str(moment)
        assert run(root, ORIGINAL, moment)["status"] == KILLED
        assert run(root, ORIGINAL, 0)["status"] == 0
        assert outputs(root) == wanted, f"killed at operation {moment}"
        assert not list(root.glob("[fm]*/.*")), "what the kill left is swept"


def test_killed_again_and_again_it_is_complete_after_all(run: Run, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", ORIGINAL, 0)
    root = tmp_path / "disturbed"
    n_kills = 0
    while run(root, ORIGINAL, 50 * (n_kills + 1))["status"] == KILLED:
        n_kills += 1
        assert 50 * n_kills < whole["count"]
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
    for moment in moments(whole["count"], seed=2):
        root = shutil.copytree(tmp_path / "before", tmp_path / str(moment))
        assert run(root, CHANGED, moment)["status"] == KILLED
        assert run(root, then, 0)["status"] == 0
        assert outputs(root) == wanted, f"killed at operation {moment}"


def test_a_kill_costs_no_more_than_the_shard_in_flight(run: Run, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", ORIGINAL, 0)
    for moment in moments(whole["count"], seed=3)[-4:]:
        root = tmp_path / str(moment)
        run(root, ORIGINAL, moment)
        n_marked = len(list(root.glob("work/*/*/*/*/features.zarr/done/c.*[0-9]")))
        assert len(extract(root)) == N_SHARDS - n_marked
