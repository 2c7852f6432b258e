"""Inputs that tests of several stages share, made once per test process."""

import shutil
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest

from pipeline.vocabulary import PROTOCOLS
from stages import extract
from stages.tables.report_table import Results, of_protocol
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import (
    BESIDE_PAPER,
    SPLITS,
    TRAIN_SPLITS,
    evaluate_splits,
    report_on,
    undrawn,
)
from tests.fixtures.extract_project import CELL, done_shards, draw_project, outputs, run
from tests.fixtures.fill_command import N_SHARDS, SHARD_OBJECTS
from tests.fixtures.report_inputs import write_report_inputs


@contextmanager
def untraced(config: pytest.Config) -> Iterator[None]:
    """Pause the coverage, as the mark ``no_cover`` does for a test without its fixtures."""
    plugin = config.pluginmanager.getplugin("_cov")
    if plugin is None:
        yield
        return
    plugin.cov_controller.pause()
    try:
        yield
    finally:
        plugin.cov_controller.resume()


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A repository with two evaluated splits, ready for ``report``; tests must not change it."""
    root = tmp_path_factory.mktemp("evaluated")
    with untraced(pytestconfig):
        evaluate_splits(root)
    write_report_inputs(root, SPLITS, TRAIN_SPLITS)
    return root


@pytest.fixture(scope="session")
def results(evaluated: Path) -> dict[str, SplitResults]:
    """Results of both protocols, by split."""
    return {split: read_results(evaluated / results_dir(split)) for split in SPLITS}


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def own(results: dict[str, SplitResults], protocol: str) -> Results:
    """Results of one protocol."""
    return of_protocol(results, protocol)


@pytest.fixture(scope="session")
def reported(
    evaluated: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Path:
    """A repository with the report on ``evaluated`` without figures; tests must not change it."""
    with untraced(pytestconfig), undrawn():
        return report_on(evaluated, tmp_path_factory.mktemp("reported"))


@pytest.fixture(scope="session")
def reported_beside_paper(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on the last split as the paper's COCO, with figures; tests must not change it."""
    root = tmp_path_factory.mktemp("beside_paper")
    return report_on(evaluated, root, SPLITS[-1:], paper=BESIDE_PAPER)


@pytest.fixture(scope="session")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of three shards whose cell is extracted; tests must not change it."""
    root = tmp_path_factory.mktemp("extracted")
    with chdir(root):
        draw_project()
        run(extract, *CELL)
    return root


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of ``N_SHARDS`` shards, ready for ``extract``; tests must not change it."""
    root = tmp_path_factory.mktemp("prepared")
    with chdir(root):
        draw_project(n_objects=8, shard_objects=SHARD_OBJECTS)
    return root


@pytest.fixture(scope="session")
def undisturbed(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], float]:
    """Outputs of an undisturbed run, and the seconds per shard."""
    root = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(prepared, root, dirs_exist_ok=True)
    with chdir(root):
        start = time.monotonic()
        run(extract, *CELL)
        seconds = time.monotonic() - start
        assert done_shards() == list(range(N_SHARDS))
        return outputs(), seconds / N_SHARDS
