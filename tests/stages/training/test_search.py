"""Who runs a study changes none of its trials."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from stages.executor.opened_cells import CellsToOpen
from stages.executor.tasks import Run
from stages.settings.blocks import ExecutorParams, TuneParams
from stages.settings.signatures import train_settings
from stages.training import search as searching
from stages.training.search import LOG, Study, search
from storage.outputs.tuning import append_trial
from storage.paths import CACHE
from tests.fixtures.mini import MODELS
from tests.fixtures.signatures import extract_params
from tests.fixtures.tasks import run_travelled
from tests.fixtures.train_split import SPLIT, write_split

LOCAL: Final = ExecutorParams(kind="local", n_workers=2)

N_TRIALS: Final = 4

SETTINGS: Final = TuneParams(
    seed=0,
    n_trials=N_TRIALS,
    max_objects=None,
    epochs=5,
    batch_size=16,
    learning_rate=0.05,
    momentum=0.5,
)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study of a train split in the working directory, whose trials are counted at once."""
    monkeypatch.chdir(tmp_path)
    write_split()
    monkeypatch.setattr(searching, "LOOK_S", 0.02)
    cells = CellsToOpen(SPLIT, train_settings(extract_params(), SPLIT, MODELS), CACHE)
    return Study(cells, "iou_tiny", SETTINGS)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ExecutorParams]:
    """Executors that are asked for workers: this process, whose tasks and finds have travelled."""
    seen: list[ExecutorParams] = []

    def executor(params: ExecutorParams, _name: str) -> AbstractContextManager[Run]:
        seen.append(params)
        return nullcontext(run_travelled)

    monkeypatch.setattr(searching, "executor_of", executor)
    return seen


def counted_by(monkeypatch: pytest.MonkeyPatch, count: Callable[[int], None]) -> None:
    """Whoever shows progress tells this function."""

    @contextmanager
    def counting(*_: object) -> Iterator[Callable[[int], None]]:
        yield count

    monkeypatch.setattr(searching, "progress", counting)


@pytest.mark.slow
def test_a_worker_finds_the_trials_of_inline_and_goes_on_from_those_that_are_kept(
    study: Study, asked: list[ExecutorParams], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    counted_by(monkeypatch, counted.append)
    expected, folder = search(study, ExecutorParams())
    assert (asked, counted) == ([], [1] * N_TRIALS)
    shutil.rmtree(folder)

    first, *others = expected
    kept = replace(first, mse=first.mse / 2)  # no trial of its plan would find it
    append_trial(folder / LOG, kept)
    counted.clear()
    assert search(study, LOCAL) == ([kept, *others], folder)
    assert [one.n_workers for one in asked] == [1], "a study takes a worker"
    assert sum(counted) == N_TRIALS
