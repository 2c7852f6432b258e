"""Searches the hyperparameters of a head: SMAC3 proposes trials, a log records their costs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Final

import numpy as np
from ConfigSpace import Configuration, ConfigurationSpace, Float, Integer
from joblib import parallel_config
from smac import HyperparameterOptimizationFacade, Scenario
from smac.acquisition.maximizer import LocalSearch
from smac.runhistory import TrialInfo, TrialValue

from pipeline.heads.kinds import RANGES, HeadSet, Hyperparameters, Trial
from pipeline.heads.objectives import TrainingSet, sample_for_trials, split_by_group
from pipeline.heads.training import Rows, validation_cost
from stages.executor.executors import executor_of
from stages.executor.opened_cells import CellsToOpen, opened
from stages.executor.tasks import Task, results_of
from stages.program.progress import progress
from stages.program.stopping import stoppable
from stages.settings.blocks import ExecutorParams, TuneParams
from stages.settings.versions import VERSIONS
from stages.training.data import origin_of, read_head_data
from stages.training.fit import one_thread_each
from storage.errors import faults_of
from storage.outputs.tuning import append_trial, read_log, study_dir
from storage.store.signature import digest, versions

TUNED: Final = HeadSet("best", "best")
"""Head set of all trials; heads of the other head sets take the hyperparameters found for it."""

LOOK_S: Final = 2.0
"""Seconds between two counts of the trials that a worker has finished."""

LOG: Final = "trials.jsonl"


@dataclass(frozen=True)
class Study:
    """Cells, objective and settings that a worker needs to search hyperparameters of heads."""

    cells: CellsToOpen
    objective: str
    settings: TuneParams

    def __str__(self) -> str:
        return f"the study of {self.objective} on {self.cells.split}"


def search(study: Study, executor: ExecutorParams) -> tuple[list[Trial], Path]:
    """Run a study here or in a worker; an interrupted study continues.

    Returns
    -------
    The trials of the study, in the order in which SMAC3 proposed them, and the folder of its log.

    Raises
    ------
    StoreError
        If a store is damaged.
    DataError
        If the training data are unusable, if ``max_objects`` leaves no image for training or for
        validation, or if the executor could not finish the study.
    ConnectionError
        If workers cannot be reached, or are lost during the study.
    """
    folder = _folder_of(study)
    with (
        stoppable(f"finished trials are kept in {folder}"),
        progress(f"tune {study.objective}", study.settings.n_trials, "trials") as advance,
    ):
        if executor.kind == "inline":
            return search_here(study, folder, count=advance), folder
        task = Task(str(study), search_here, (study, folder))
        # SMAC3 chooses each trial from the earlier trials, so a second worker would be idle.
        with (
            _followed(folder / LOG, study.settings.n_trials, advance),
            executor_of(replace(executor, n_workers=1), f"tune {study.objective}") as run,
        ):
            (trials,) = results_of(run, [task])
        return trials, folder


def search_here(
    study: Study,
    folder: Path,
    *,
    count: Callable[[int], None] = lambda _: None,
) -> list[Trial]:
    """Run a study in this process, with its log in ``folder``, and return its trials.

    Parameters
    ----------
    count
        Called with 1 after each trial.

    Raises
    ------
    StoreError
        If a store is damaged.
    DataError
        If the training data are unusable, or if ``max_objects`` leaves no image for training or for
        validation.
    """
    settings, cells = study.settings, opened(study.cells)
    rows_of_all, n_models = read_head_data(cells, TUNED), len(cells.models)
    with faults_of(cells.split), one_thread_each():
        learned, rows = rows_of_trials(rows_of_all, settings.max_objects, n_models, settings.seed)
        del rows_of_all  # frees memory: the sample may be a small part of all rows
        return run_study(
            lambda plan: validation_cost(learned, rows, study.objective, plan, seed=settings.seed),
            folder,
            n_trials=settings.n_trials,
            seed=settings.seed,
            advance=count,
        )


def rows_of_trials(
    data: TrainingSet, max_objects: int | None, n_models: int, seed: int
) -> tuple[TrainingSet, Rows]:
    """Sample rows for the trials: their training and validation rows come from those of heads.

    No trial thus learns from the images that validate a head.

    Parameters
    ----------
    max_objects
        Largest number of objects to sample; None for all objects.
    n_models
        Number of models with rows in ``data``: an object has a row per model.

    Returns
    -------
    Training data with the sampled rows, and their row numbers for training and for validation.

    Raises
    ------
    ValueError
        If there are fewer than two images or videos, or ``max_objects`` leaves no image for
        training or for validation.
    """
    if max_objects is None:
        return data, Rows(*split_by_group(data.group, seed))
    samples = sample_for_trials(data.group, max_objects, n_models, seed)
    sampled = np.concatenate(samples)
    rows = Rows(*np.split(np.arange(len(sampled)), [len(samples[0])]))
    targets = {name: values[sampled] for name, values in data.targets.items()}
    return TrainingSet(data.inputs[sampled], targets, data.group[sampled]), rows


@contextmanager
def _followed(log: Path, n_trials: int, advance: Callable[[int], None]) -> Iterator[None]:
    """Advance a progress bar within the block by the trials that a worker adds to its log."""
    is_over = Event()

    def follow() -> None:
        n_counted, is_last = 0, False
        while not is_last:
            is_last = is_over.wait(LOOK_S)
            n_logged = min(len(read_log(log)), n_trials)
            advance(n_logged - n_counted)
            n_counted = n_logged

    thread = Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _folder_of(study: Study) -> Path:
    """Folder of a study's log, named by a digest of everything that the trials depend on.

    A study is thus resumed only under the same settings, features and versions.
    """
    settings = study.settings
    dependencies = {
        **origin_of(opened(study.cells)),
        "seed": settings.seed,
        "max_objects": str(settings.max_objects),
        "tune_version": VERSIONS["tune"],
        **versions("torch", "numpy", "scikit-learn", "smac", "ConfigSpace"),
    }
    return study_dir(study.cells.split, study.objective, digest(dependencies))


def run_study(
    cost: Callable[[Hyperparameters], float],
    folder: Path,
    *,
    n_trials: int,
    seed: int,
    advance: Callable[[int], None],
) -> list[Trial]:
    """Try ``n_trials`` sets of hyperparameters, in the order in which SMAC3 proposes them.

    A killed study continues where it stopped: SMAC3's proposals follow from the seed and the costs,
    so SMAC3 repeats them, and the log has their costs. SMAC3's own files lack the state of its
    random numbers, so a study that resumed from them would end differently.

    Parameters
    ----------
    cost
        Trains a head and returns its validation error. An exception ends the study.
    folder
        Folder of the log and of SMAC3's files, for this cost and this seed alone. The caller
        removes it after writing the trials elsewhere; until then, the log has all costs.
    advance
        Called with 1 after each trial, also after a trial from the log.

    Returns
    -------
    The trials, in the order of the proposals.
    """
    costs = {trial.plan: trial.mse for trial in read_log(folder / LOG)}
    trials = []
    # SMAC3 writes to a new folder: a lost worker that still runs must not write to the same files.
    # SMAC3's random forest gets one thread: with more, chance decides the order of its sums.
    folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix="smac-", dir=folder) as smac_folder,
        parallel_config("sequential"),
    ):
        optimizer = _optimizer(Path(smac_folder), n_trials, seed)
        for _ in range(n_trials):
            proposal = optimizer.ask()
            plan = _plan(proposal)
            if plan not in costs:
                costs[plan] = cost(plan)
                append_trial(folder / LOG, Trial(plan, costs[plan]))
            optimizer.tell(proposal, TrialValue(cost=costs[plan]), save=False)
            trials.append(Trial(plan, costs[plan]))
            advance(1)
    return trials


class SortedLocalSearch(LocalSearch):
    """SMAC3's local search with sorted starting points, so that equal seeds give equal proposals.

    SMAC3 takes the points from a set of strings, whose order differs between processes. Its random
    numbers, and so its proposals, depend on that order.
    """

    def _search(self, start_points: list[Configuration]) -> list[tuple[float, Configuration]]:
        ordered = sorted(start_points, key=lambda point: tuple(point.get_array()))
        evaluated: list[tuple[float, Configuration]] = super()._search(ordered)
        return evaluated


def _optimizer(folder: Path, n_trials: int, seed: int) -> HyperparameterOptimizationFacade:
    scenario = Scenario(
        _space(seed),
        name="smac",
        output_directory=folder,
        deterministic=True,
        n_trials=n_trials,
        seed=seed,
        n_workers=1,
    )
    maximizer = HyperparameterOptimizationFacade.get_acquisition_maximizer(scenario)
    maximizer._local_search = SortedLocalSearch(scenario.configspace, seed=seed)  # noqa: SLF001
    return HyperparameterOptimizationFacade(
        scenario, _never_called, acquisition_maximizer=maximizer, logging_level=False
    )


def _space(seed: int) -> ConfigurationSpace:
    ranges = {name: RANGES[name] for name in ("epochs", "batch_size")}
    integers = [Integer(name, (int(low), int(high))) for name, (low, high) in ranges.items()]
    rate = Float("learning_rate", RANGES["learning_rate"], log=True)
    momentum = Float("momentum", RANGES["momentum"])
    return ConfigurationSpace(space=[*integers, rate, momentum], seed=seed)


def _never_called(config: Configuration, seed: int) -> float:
    raise AssertionError(f"trials must be asked for and told, got a call with {config}, {seed}")


def _plan(proposal: TrialInfo) -> Hyperparameters:
    config = proposal.config
    return Hyperparameters(
        epochs=int(config["epochs"]),
        batch_size=int(config["batch_size"]),
        learning_rate=float(config["learning_rate"]),
        momentum=float(config["momentum"]),
    )
