from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from pipeline.heads.kinds import Hyperparameters, Trial
from stages.training.search import LOG, Facade, run_study
from storage.outputs.tuning import read_log

N_TRIALS = 8
N_DONE = 4


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def slope(plan: Hyperparameters) -> float:
    return (plan.momentum - 0.7) ** 2 + plan.learning_rate + plan.epochs / 1000


def run(folder: Path, cost: Callable[[Hyperparameters], float], facade: Facade) -> list[Trial]:
    return run_study(cost, folder, n_trials=N_TRIALS, seed=3, advance=lambda _: None, facade=facade)


@pytest.fixture(scope="module", params=get_args(Facade))
def facade(request: pytest.FixtureRequest) -> Facade:
    name: Facade = request.param
    return name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, facade: Facade) -> list[Trial]:
    return run(tmp_path_factory.mktemp("undisturbed"), slope, facade)


@pytest.mark.no_cover
def test_a_study_killed_on_the_way_goes_on_to_the_same_trials(
    tmp_path: Path, undisturbed: list[Trial], facade: Facade
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
        run(tmp_path, dying, facade)
    assert read_log(tmp_path / LOG) == undisturbed[:N_DONE]
    resumed = run(tmp_path, living, facade)
    assert resumed == undisturbed
    assert calls == [trial.plan for trial in undisturbed], "a finished trial was run again"


def test_under_multifidelity_the_best_of_those_that_begin_get_more_epochs(tmp_path: Path) -> None:
    trials = run_study(
        slope, tmp_path, n_trials=21, seed=3, advance=lambda _: None, facade="multifidelity"
    )
    by_epochs = {
        epochs: [replace(trial.plan, epochs=1) for trial in sorted(trials, key=lambda one: one.mse)
                 if trial.plan.epochs == epochs]
        for epochs in (5, 20, 80)
    }  # fmt: skip
    assert sum(map(len, by_epochs.values())) == len(trials)
    begun, more, most = by_epochs.values()
    assert set(more) == set(begun[: len(more)])
    assert most == more[: len(most)]
    assert [len(begun), len(more), len(most)] == [16, 4, 1]
