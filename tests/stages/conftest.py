"""What the tests of tables, page and report start from."""

from pathlib import Path

import pytest

from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS, evaluate_splits
from tests.fixtures.report_inputs import write_report_inputs


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose two eval splits are evaluated, ready to report on; not to be changed."""
    root = tmp_path_factory.mktemp("evaluated")
    evaluate_splits(root)
    write_report_inputs(root, SPLITS, TRAIN_SPLITS)
    return root


@pytest.fixture(scope="session")
def results(evaluated: Path) -> dict[str, SplitResults]:
    """Results of both protocols, by split."""
    return {split: read_results(evaluated / results_dir(split)) for split in SPLITS}
