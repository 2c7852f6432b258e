"""What the stages that take hours compute changes under a new version only.

DVC sees no other change of theirs than one of data, settings or version.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.golden.golden import Golden
from tests.golden.make import GOLDEN

MOST_BYTES = 300_000


@pytest.fixture(params=GOLDEN)
def golden(request: pytest.FixtureRequest) -> Golden:
    return GOLDEN[request.param]


def test_what_stages_compute_is_that_of_their_versions() -> None:
    # In a process of its own: MKL keeps the order of its sums from when it is loaded.
    compare = [sys.executable, "-m", "tests.golden.make"]
    compared = subprocess.run(compare, capture_output=True, text=True, check=False)
    assert compared.returncode == 0, compared.stderr


def test_golden_files_are_small(golden: Golden) -> None:
    assert golden.path.stat().st_size < MOST_BYTES


def test_changed_numbers_are_told(golden: Golden, changed: Golden) -> None:
    told = "\n".join(changed.faults())
    assert f"what {golden.stage} computes has changed: raise {golden.stage} in" in told
    other = replace(changed, origin=lambda: {**golden.origin(), "version": "0"})
    assert [*map(str, other.faults())] == [
        f"{golden.path.name} is of another version: {golden.remedy}"
    ]


def test_one_number_that_is_off_is_seen(golden: Golden) -> None:
    results = golden.results()
    assert not list(golden.differences(results))
    for name, values in results.items():
        for change in (0.02, np.nan):
            if "mask_code" not in name:
                changed = values.astype(np.float64)
                changed.flat[-1] += change
                assert str(golden.compare(name, values, changed)).startswith("off by ")


@pytest.fixture
def changed(golden: Golden, tmp_path: Path) -> Golden:
    """A copy of the file, and a stage that says something else."""
    (tmp_path / golden.path.name).write_bytes(golden.path.read_bytes())
    results = golden.results()
    name = max(name for name in results if "mask_code" not in name)
    results[name] = results[name] / 2 + 0.1
    return replace(golden, folder=tmp_path, compute=lambda _: results)


def test_other_numbers_are_not_written_under_the_same_version(
    golden: Golden, changed: Golden
) -> None:
    remedy = rf"raise {golden.stage} in versions\.yaml .*off by \d"
    with pytest.raises(SystemExit, match=remedy):
        changed.renew()
    assert changed.path.read_bytes() == golden.path.read_bytes()


def test_other_numbers_of_another_origin_are_written_with_the_same_inputs(
    golden: Golden, changed: Golden
) -> None:
    former = golden.read()
    replace(changed, origin=lambda: {**golden.origin(), "weights_tiny": "new"}).renew()
    written = replace(changed, origin=lambda: {"weights_tiny": "new"})
    assert written.is_present()
    for name, values in golden.inputs().items():
        np.testing.assert_array_equal(written.read()[name], values)
    assert written.read().keys() == former.keys() | {"weights_tiny"}
