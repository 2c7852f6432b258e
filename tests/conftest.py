"""Settings that hold for every test, and what several files of them share."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.fixtures.slurm import Slurm, running_slurm

# Two test processes on two cores: more threads than cores would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Weights in the cache of who runs the tests are not to be found.
os.environ["HF_HUB_CACHE"] = os.devnull

hypothesis.settings.register_profile("usam", deadline=None, derandomize=True)
hypothesis.settings.load_profile("usam")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A SLURM of two nodes."""
    with running_slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running
