from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.heads.kinds import Hyperparameters, Trial
from stages.training.search import LOG, run_study
from storage.outputs.tuning import read_log

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


@pytest.mark.no_cover
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
    assert calls == [trial.plan for trial in undisturbed], "a finished trial was run again"
