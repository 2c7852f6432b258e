from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.hyperparameters import RANGES, Hyperparameters, Trial, rank_trials
from stages.study import LOG, run_study
from storage.tuning import read_log

N_TRIALS = 8
N_DONE = 4


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def slope(plan: Hyperparameters) -> float:
    return (plan.momentum - 0.7) ** 2 + plan.learning_rate + plan.epochs / 1000


def run(folder: Path, cost: Callable[[Hyperparameters], float]) -> list[Trial]:
    return run_study(cost, folder, n_trials=N_TRIALS, seed=3, advance=lambda _: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return run(tmp_path_factory.mktemp("undisturbed"), slope)


def test_a_study_killed_on_the_way_goes_on_to_the_same_trials(
    tmp_path: Path, undisturbed: list[Trial]
) -> None:
    calls: list[Hyperparameters] = []

    def dying(plan: Hyperparameters) -> float:
        if len(calls) == N_DONE:
            raise Killed
        calls.append(plan)
        return slope(plan)

    def living(plan: Hyperparameters) -> float:
        calls.append(plan)
        return slope(plan)

    with pytest.raises(Killed):
        run(tmp_path, dying)
    assert read_log(tmp_path / LOG) == undisturbed[:N_DONE]
    resumed = run(tmp_path, living)
    assert resumed == undisturbed
    assert rank_trials(resumed)[0] == rank_trials(undisturbed)[0]
    assert calls == [trial.plan for trial in undisturbed], "a finished trial was run again"


def test_trials_stay_in_the_ranges(undisturbed: list[Trial]) -> None:
    for trial in undisturbed:
        for name, (low, high) in RANGES.items():
            assert low <= getattr(trial.plan, name) <= high


def test_an_error_of_the_cost_ends_the_study(tmp_path: Path) -> None:
    def faulty(plan: Hyperparameters) -> float:
        raise RuntimeError(plan)

    with pytest.raises(RuntimeError):
        run(tmp_path, faulty)


def test_every_trial_is_counted(tmp_path: Path) -> None:
    counted: list[int] = []
    run_study(slope, tmp_path, n_trials=2, seed=0, advance=counted.append)
    assert counted == [1, 1]
