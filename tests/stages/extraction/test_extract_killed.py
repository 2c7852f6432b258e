"""Stage ``extract`` killed or stopped: the next run gives the bytes of an undisturbed one."""

import shutil
import signal
import time
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from stages import extract
from storage.paths import CACHE
from tests.fixtures.extract_project import (
    CELL,
    done_shards,
    encoded_images,
    images_without,
    outputs,
    pool_of,
    run,
)
from tests.fixtures.fill_command import (
    ENDING,
    N_SHARDS,
    SHARD_OBJECTS,
    START_S,
    at_last_piece,
    started,
    wait_for_shards,
)

EXTRACT: Final = ("stages.extract", *CELL)

MOMENTS: Final = [float(m) for m in np.random.default_rng(0).uniform(0, N_SHARDS - 2, 2).round(2)]
"""When to kill: so many shards done, and that part of the time that the next one takes."""


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the prepared project, as the working directory."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.mark.no_cover
@pytest.mark.parametrize("moment", [MOMENTS[0], pytest.param(MOMENTS[1], marks=pytest.mark.slow)])
@pytest.mark.usefixtures("project")
def test_killed_at_a_random_moment_the_next_run_gives_the_same_bytes(
    undisturbed: tuple[dict[str, bytes], float], moment: float
) -> None:
    wanted, shard_s = undisturbed
    with started("-c", ENDING, *at_last_piece(), *EXTRACT) as process:
        wait_for_shards(int(moment))
        time.sleep(moment % 1 * shard_s)
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert int(moment) <= len(done_shards()) < N_SHARDS
    resume(wanted)


@pytest.mark.no_cover
@pytest.mark.usefixtures("project")
def test_stopped_it_keeps_each_shard_that_is_done_and_says_so_in_one_line(
    undisturbed: tuple[dict[str, bytes], float],
) -> None:
    # No image has objects of more than three shards.
    moment = ("stages.extraction.steps", "extract_objects", "6", str(int(signal.SIGTERM)))
    with started("-c", ENDING, *moment, *EXTRACT) as process:
        _, said = process.communicate(timeout=START_S)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert 0 < len(done_shards()) < N_SHARDS
    assert said.splitlines()[-1] == (
        f"stopped by SIGTERM: finished shards are kept in {pool_of().folder}; run it again to go on"
    )
    assert "Traceback" not in said
    assert not list(CACHE.rglob("*.partial"))
    resume(undisturbed[0])


def resume(wanted: dict[str, bytes]) -> None:
    """Run again: what was done is not done again, and the outputs are those of one run."""
    left = images_without(done_shards(), SHARD_OBJECTS)
    with encoded_images() as encoded:
        run(extract, *CELL)
    assert set(encoded) == left
    assert outputs() == wanted
