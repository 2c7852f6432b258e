"""The comparison of the facades of ``tune``."""

import sys
from pathlib import Path

import numpy as np
import pytest

from docs import tuned
from docs.blocks import read_block
from docs.tuned import SEEDS, Study, n_epochs, planned_epochs, ratio_over_seeds
from pipeline.heads.hyperparameters import RANGES, Hyperparameters
from pipeline.heads.objectives import TrainingSet
from stages.training.study import ETA, Facade, run_study

PLAN = Hyperparameters(epochs=20, batch_size=64, learning_rate=0.03, momentum=0.9)
PAGES = {"PAGE": "tuned", "BARS_PAGE": "bars-tuned"}


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Copies of the pages, and rows that nothing is learned from."""
    copies = {}
    for name in PAGES:
        page = getattr(tuned, name)
        copies[name] = tmp_path / page.name
        copies[name].write_bytes(page.read_bytes())
        monkeypatch.setattr(tuned, name, copies[name])
    empty = TrainingSet(np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32), np.arange(0))
    monkeypatch.setattr(tuned, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(tuned, "_data", lambda: (empty, 4))
    monkeypatch.setattr(tuned, "rows_of_trials", lambda *_: (empty, None))
    return copies


def blocks(pages: dict[str, Path]) -> list[str]:
    return [read_block(pages[name], block) for name, block in PAGES.items()]


def test_it_goes_on_where_it_was_and_writes_once_all_seeds_are_there(
    pages: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, int]] = []

    def study(facade: Facade, _: object, __: object, seed: int) -> Study:
        ran.append((facade, seed))
        return Study({"full": 100.0, "multifidelity": 25.0 + seed}[facade], 900, PLAN, 0.03)

    monkeypatch.setattr(tuned, "study", study)
    before = blocks(pages)
    monkeypatch.setattr(sys, "argv", ["tuned", "0", "3"])
    tuned.main()
    assert blocks(pages) == before
    monkeypatch.setattr(sys, "argv", ["tuned"])
    tuned.main()
    assert sorted(ran) == sorted((facade, seed) for facade in tuned.FACADES for seed in SEEDS)
    table, bars = blocks(pages)
    monkeypatch.setattr(tuned, "_data", None)  # no longer needed
    tuned.main()
    assert blocks(pages) == [table, bars]
    assert table.count("| 0.03000 |") == len(SEEDS) * len(tuned.FACADES)
    assert "error 1.000 (1.000 to 1.000)" in table
    assert bars.count("| yes |") == 2


def test_a_head_that_goes_on_counts_its_epochs_once() -> None:
    other = Hyperparameters(5, 32, 0.01, 0.5)
    more = Hyperparameters(20, 32, 0.01, 0.5)
    assert n_epochs("multifidelity", [other, PLAN, more]) == 40
    assert n_epochs("full", [other, PLAN, more]) == 45


def test_the_planned_epochs_are_those_that_a_study_trains(tmp_path: Path) -> None:
    n_trials = 21
    trials = run_study(
        lambda plan: plan.learning_rate,
        tmp_path,
        n_trials=n_trials,
        seed=0,
        advance=lambda _: None,
        facade="multifidelity",
    )
    plans = [trial.plan for trial in trials]
    assert n_epochs("multifidelity", plans) == planned_epochs(n_trials, ETA, is_hyperband=False)


def test_hyperband_begins_later_rounds_with_more_epochs() -> None:
    least, most = map(int, RANGES["epochs"])
    assert planned_epochs(16 + 4 + 1, 4, is_hyperband=True) == 16 * 5 + 4 * 15 + 60
    n_cycle = 21 + (6 + 1) + 3
    assert planned_epochs(n_cycle, 4, is_hyperband=True) == 200 + 6 * 20 + 60 + 3 * most
    assert least == most / 16


def test_the_interval_of_equal_ratios_is_a_point_and_of_others_holds_their_mean() -> None:
    assert ratio_over_seeds([0.25] * 5) == pytest.approx((0.25, 0.25, 0.25))
    mean, low, high = ratio_over_seeds([0.2, 0.3, 0.25, 0.22, 0.28])
    assert low < mean < high
    assert mean == pytest.approx(np.exp(np.log([0.2, 0.3, 0.25, 0.22, 0.28]).mean()))
