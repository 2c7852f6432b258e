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

from storage.pool.cleaning import find_removable, remove
from storage.store.checks import damaged_files
from tests.fixtures.made_up_cell import (
    ORIGINAL,
    cell_of,
    compare_shards,
    extract,
    outputs,
    split_of,
    targets,
)

KILLED = -9
N_MOMENTS = int(os.environ.get("USAM_KILL_MOMENTS", "7"))
"""Disk operations tried a test; the suite takes some at random, 999 takes every one."""

CHANGED = (0, 0, 1)
"""Versions of the images, of which the second shard has another."""


class Ran(NamedTuple):
    """How processes ended, and the disk operations of the last one."""

    statuses: list[int]
    n_operations: int


Run = Callable[..., Ran]


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


def check_nothing_is_half(root: Path, versions: Sequence[int] = ORIGINAL) -> list[int]:
    """Every shard and store that shows is whole; gives the shards that are lacking."""
    cell = cell_of(root, split_of(versions=versions))
    lacking = cell.lacking()
    assert compare_shards(cell).faults.keys() == {*lacking}
    for path in targets(root, cell).values():
        assert not path.exists() or damaged_files(path) == {}
    return [cell.split.shards[name].index for name in lacking]


@pytest.mark.no_cover
@pytest.mark.parametrize("versions", [ORIGINAL, CHANGED], ids=["from_nothing", "changed_image"])
def test_killed_anywhere_the_next_run_computes_what_does_not_show_to_the_bytes_of_one_undisturbed(
    run: Run, tmp_path: Path, versions: Sequence[int]
) -> None:
    former = tmp_path / "former"
    former.mkdir()
    if versions != ORIGINAL:
        extract(former)
    whole = run(shutil.copytree(former, tmp_path / "whole"), versions, 0)
    assert whole.statuses == [0]
    wanted = outputs(tmp_path / "whole")
    assert len(wanted) > 20
    for moment in moments(whole.n_operations, seed=1):
        root = shutil.copytree(former, tmp_path / str(moment))
        assert run(root, versions, moment).statuses == [KILLED]
        lacking = check_nothing_is_half(root, versions)
        assert extract(root, versions) == lacking
        assert outputs(root) == wanted, f"killed at operation {moment}"
        assert not list(root.glob("[fm]*/.*")), "what the kill left of stores is swept"
        remove(find_removable({}, root / "pool"))
        assert list((root / "pool").iterdir()) == []


@pytest.mark.slow
def test_killed_again_and_again_it_is_complete_after_all(run: Run, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", ORIGINAL, 0)
    root, step = tmp_path / "disturbed", whole.n_operations // 4
    n_kills = 0
    while run(root, ORIGINAL, step * (n_kills + 1)).statuses == [KILLED]:
        check_nothing_is_half(root)
        n_kills += 1
        assert n_kills < 9
    assert n_kills > 2
    assert outputs(root) == outputs(tmp_path / "whole")


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
        assert check_nothing_is_half(root) == []
        assert run(root, ORIGINAL, 0, 0).statuses == [0, 0]
        assert outputs(root) == wanted, "what the kills left is swept"
