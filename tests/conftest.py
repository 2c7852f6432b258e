"""Settings for all tests, and fixtures that tests of several files share."""

import gc
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

import tests.fixtures.type_checks  # noqa: F401 - changes how what is imported next is checked

# isort: split
from stages.program import progress
from tests.fixtures.demo_copy import Demo, demo_in
from tests.fixtures.made_up_cell import extract
from tests.fixtures.slurm import Slurm, running_slurm

# Two test processes run on two cores: more threads than cores would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Without it, each command of DVC ends with a process that reports it.
os.environ["DVC_NO_ANALYTICS"] = "1"

# Tests must not find weights in the user's cache.
os.environ["HF_HUB_CACHE"] = os.devnull

# No test may depend on how busy the machine is.
hypothesis.settings.register_profile(
    "usam",
    deadline=None,
    max_examples=50,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("usam")


OF_RESULTS: Final = (
    *("tests/stages/page/", "tests/stages/tables/", "tests/stages/cli/test_gate.py"),
    *("tests/stages/test_brute_force.py", "tests/stages/test_evaluate.py"),
    *("tests/stages/test_report.py", "tests/stages/cli/test_report.py"),
    "tests/stages/test_people_figures.py",
)
"""Files and folders of tests that share the fixture ``evaluated``, which takes long to make."""

APART: Final = ("tests/stages/executor/test_workers.py", "tests/storage/pool/test_dvc_remote.py")
"""Files of minutes whose tests share little: each test is a work unit."""


def work_unit(node_id: str) -> str:
    """Name of the work unit of a test.

    It is the test itself in files of ``APART``, ``results`` for tests that share results, and else
    the file.
    """
    file = node_id.partition("::")[0]
    if file in APART:
        return node_id
    return "results" if file.startswith(OF_RESULTS) else file


class FilesAndResults(LoadScopeScheduling):  # type: ignore[misc]
    """Gives all tests of a work unit to the same process."""

    def _split_scope(self, nodeid: str) -> str:
        return work_unit(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FilesAndResults:
    return FilesAndResults(config, log)


UNTRACED: Final = ("tests/golden/", "tests/tools/", "tests/test_")
"""Tests that are not traced for the coverage, because tests of the packages reach the same lines.

Tracing takes up to half of a test's time. Elsewhere, the mark ``no_cover`` spares single tests.
"""

LONG: Final = (
    *("results", "tests/test_repro.py", "tests/stages/executor/test_slurm.py"),
    *("tests/test_cluster_faults.py", "tests/test_cluster.py", "tests/test_extend_doc.py"),
    *("tests/stages/test_who_computes.py", "tests/stages/web/test_browser_review.py"),
    *("tests/test_repro_clones.py", "tests/stages/test_elsewhere.py"),
    *("tests/stages/web/test_browser_objects.py", "tests/stages/web/test_browser.py"),
)
"""Work units of about a minute or more, the longest first."""


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """End the first of two measurements that pytest-cov 7.1 starts in each process of xdist.

    Nobody reads the first, which would go on tracing where ``no_cover`` pauses the second.
    """
    plugin = session.config.pluginmanager.getplugin("_cov")
    first = getattr(plugin, "cov_controller", None)
    if first is not None and hasattr(session.config, "workerinput"):
        first.cov.stop()


WHOLLY_SLOW: Final = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.(slow|full_size)", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file whose tests are all left out by the marks: each process imports for itself."""
    if not collection_path.match("test_*.py"):
        return None
    text, asked = collection_path.read_text("utf-8"), config.option.markexpr
    if asked.startswith("slow"):
        return "mark.slow" not in text or None
    return ("not slow" in asked and WHOLLY_SLOW.search(text) is not None) or None


@pytest.hookimpl(trylast=True)  # after `-m` has dropped tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest work units, then with files of few tests, which often take long.

    Short units at the end keep all processes busy until the end.
    """
    made_twice = [
        item.nodeid
        for item in items
        if "evaluated" in getattr(item, "fixturenames", ()) and work_unit(item.nodeid) != "results"
    ]
    assert not made_twice, f"OF_RESULTS must have the files of {made_twice}"
    for item in items:
        if item.nodeid.startswith(UNTRACED):
            item.add_marker(pytest.mark.no_cover)
    n_tests = Counter(work_unit(item.nodeid) for item in items)
    order = {**n_tests, **{unit: place - len(LONG) for place, unit in enumerate(LONG)}}
    items.sort(key=lambda item: order[work_unit(item.nodeid)])


@pytest.fixture(scope="session", autouse=True)
def _no_progress_between() -> Iterator[None]:
    """Print the last line of progress alone, however long work takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "LINE_EVERY_S", math.inf)
        yield


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A SLURM of two nodes."""
    with running_slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a complete cell; a test that changes it makes a copy."""
    root = tmp_path_factory.mktemp("made")
    extract(root)
    shutil.rmtree(root / "pool")
    return root


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Demo:
    """A small copy of the project in which the whole pipeline has run, not to be changed."""
    folder = tmp_path_factory.getbasetemp()
    return demo_in(folder if worker_id == "master" else folder.parent)


@pytest.fixture
def demo_copy(demo: Demo, tmp_path: Path) -> Path:
    """The demo once more, to change."""
    root = tmp_path / "project"
    # With the modification times, by which numba knows that its compiled kernels are current.
    shutil.copytree(demo.root, root, symlinks=True)
    return root


def pytest_collection_finish() -> None:
    """Exclude imported modules from garbage collection, because they stay to the end."""
    # Hypothesis warns if the garbage collector knows no object that refers to its random numbers.
    # From Python 3.14 on, `freeze` may hide that object: a first property registers them before.
    hypothesis.given(hypothesis.strategies.none())(lambda _: None)()
    gc.freeze()
