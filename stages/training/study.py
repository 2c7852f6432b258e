"""A study of hyperparameters: SMAC3 proposes, the cost function answers, a log records."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

from ConfigSpace import Configuration, ConfigurationSpace, Float, Integer
from joblib import parallel_config
from smac import HyperparameterOptimizationFacade, MultiFidelityFacade, Scenario
from smac.acquisition.maximizer import AbstractAcquisitionMaximizer, LocalSearch
from smac.intensifier import SuccessiveHalving
from smac.main.config_selector import ConfigSelector
from smac.runhistory import TrialInfo, TrialValue

from pipeline.heads.kinds import RANGES, Hyperparameters, Trial
from storage.outputs.tuning import append_trial, read_log

LOG: Final = "trials.jsonl"

Facade = Literal["full", "multifidelity"]
"""How trials are chosen: as in the paper, where epochs are searched and each trial trains to its
end; or by successive halving, where all begin with few epochs and those that do well get more."""

ETA: Final = 4
"""Of so many heads with as many epochs, the best gets so many times the epochs: 5, 20, 80."""

FIRST_ROUND: Final = ETA**2
"""Heads that begin together."""

LEAST_MODELLED: Final = 8
"""SMAC3's model learns from the most epochs that so many trials had; by default a single one."""


def run_study(
    cost: Callable[[Hyperparameters], float],
    folder: Path,
    *,
    n_trials: int,
    seed: int,
    advance: Callable[[int], None],
    facade: Facade = "full",
) -> list[Trial]:
    """Try ``n_trials`` hyperparameters in the order in which SMAC3 asks for them.

    A killed study continues where it stopped: SMAC3's questions follow from the seed and the
    costs, so it asks the same again, and the log answers what was tried before. SMAC3's own files
    keep no state of its random numbers, so resuming from them would end elsewhere.

    Parameters
    ----------
    cost
        Error of trained hyperparameters. What it raises ends the study.
    folder
        For the log and SMAC3's files; belongs to one cost and one seed. The caller removes it when
        the trials are safe elsewhere: until then the log answers every trial.
    advance
        Called after each trial with 1.
    """
    known = {trial.plan: trial.mse for trial in read_log(folder / LOG)}
    trials = []
    # A folder of its own: a lost worker that still runs must not write into the next one's files.
    # One thread for the forest: with more, the order of its sums is left to chance.
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="smac-", dir=folder) as unread, parallel_config("sequential"):
        optimizer = _optimizer(facade, Path(unread), n_trials, seed)
        for _ in range(n_trials):
            asked = optimizer.ask()
            plan = _plan(asked)
            if plan not in known:
                known[plan] = cost(plan)
                append_trial(folder / LOG, Trial(plan, known[plan]))
            optimizer.tell(asked, TrialValue(cost=known[plan]), save=False)
            trials.append(Trial(plan, known[plan]))
            advance(1)
    return trials


class SortedLocalSearch(LocalSearch):
    """SMAC3's local search from the same starting points in an order that is always the same.

    SMAC3 takes them from a set of hashes of text, which are others in every process; what it draws
    on the way from each would be, too.
    """

    def _search(self, start_points: list[Configuration]) -> list[tuple[float, Configuration]]:
        ordered = sorted(start_points, key=lambda point: tuple(point.get_array()))
        found: list[tuple[float, Configuration]] = super()._search(ordered)
        return found


def _optimizer(
    facade: Facade, folder: Path, n_trials: int, seed: int
) -> HyperparameterOptimizationFacade:
    least, most = RANGES["epochs"] if facade == "multifidelity" else (None, None)
    scenario = Scenario(
        _space(facade, seed),
        name="smac",
        output_directory=folder,
        deterministic=True,
        n_trials=n_trials,
        seed=seed,
        n_workers=1,
        min_budget=least,
        max_budget=most,
    )
    maximizer = HyperparameterOptimizationFacade.get_acquisition_maximizer(scenario)
    maximizer._local_search = SortedLocalSearch(scenario.configspace, seed=seed)  # noqa: SLF001
    if facade == "multifidelity":
        return _multifidelity(scenario, maximizer)
    return HyperparameterOptimizationFacade(
        scenario, _never_called, acquisition_maximizer=maximizer, logging_level=False
    )


def _multifidelity(
    scenario: Scenario, maximizer: AbstractAcquisitionMaximizer
) -> MultiFidelityFacade:
    return MultiFidelityFacade(
        scenario,
        _never_called_with_budget,
        intensifier=SuccessiveHalving(scenario, eta=ETA),
        acquisition_maximizer=maximizer,
        # The whole first round: of what it asks beyond, SMAC3 draws some twice.
        initial_design=MultiFidelityFacade.get_initial_design(
            scenario, n_configs=FIRST_ROUND, max_ratio=1
        ),
        config_selector=ConfigSelector(scenario, min_trials=LEAST_MODELLED),
        logging_level=False,
    )


def _space(facade: Facade, seed: int) -> ConfigurationSpace:
    names = {"full": ("epochs", "batch_size"), "multifidelity": ("batch_size",)}[facade]
    whole = [Integer(name, _whole(name)) for name in names]
    rate = Float("learning_rate", RANGES["learning_rate"], log=True)
    return ConfigurationSpace(
        space=[*whole, rate, Float("momentum", RANGES["momentum"])], seed=seed
    )


def _whole(name: str) -> tuple[int, int]:
    low, high = RANGES[name]
    return int(low), int(high)


def _never_called(config: Configuration, seed: int) -> float:
    raise AssertionError(f"trials must be asked for and told, got a call with {config}, {seed}")


def _never_called_with_budget(config: Configuration, seed: int, budget: float) -> float:
    # SMAC3 warns of a function that takes no budget where there are some, and of one that does
    # where there are none.
    return _never_called(config, seed) + budget


def _plan(asked: TrialInfo) -> Hyperparameters:
    config = asked.config
    return Hyperparameters(
        epochs=int(config["epochs"]) if asked.budget is None else round(asked.budget),
        batch_size=int(config["batch_size"]),
        learning_rate=float(config["learning_rate"]),
        momentum=float(config["momentum"]),
    )
