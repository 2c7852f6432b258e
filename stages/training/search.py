"""The search for the hyperparameters of a head, by the executor of the settings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Final

import numpy as np

from pipeline.heads.kinds import HeadSet, Hyperparameters, Trial
from pipeline.heads.objectives import VALIDATION_SHARE, TrainingSet, sample_by_group, split_by_group
from pipeline.heads.training import Rows, continued_costs, validation_cost
from stages.executor.cells import CellsToOpen, opened
from stages.executor.tasks import Task, check_all_done, run_tasks
from stages.program.progress import progress
from stages.program.stopping import stoppable
from stages.settings.blocks import ExecutorParams, TuneParams
from stages.settings.parsing import ParamsError
from stages.settings.versions import VERSIONS
from stages.training.data import origin_of, read_head_data
from stages.training.fit import one_thread_each
from stages.training.study import LOG, Facade, run_study
from storage.errors import faults_of
from storage.outputs.tuning import read_log, study_dir
from storage.store.signature import digest, versions

TUNED: Final = HeadSet("best", "best")
"""The head set that trials use, the paper's; heads of all head sets take what they find. In a
ladder, it is the one that reads the smallest model's tokens."""

LOOK_S: Final = 2.0
"""Time between two looks at how many trials a worker has finished."""

Found = list[Trial] | ValueError
"""What comes of a study: its trials, or why it cannot be made, which no other try would change."""


@dataclass(frozen=True)
class Study:
    """A search for a head's hyperparameters, described so that any worker can run it."""

    cells: CellsToOpen
    objective: str
    settings: TuneParams

    def __str__(self) -> str:
        return f"the study of {self.objective} on {self.cells.split}"


def search(study: Study, executor: ExecutorParams) -> tuple[list[Trial], Path]:
    """Run a study, or resume one that was interrupted.

    Returns
    -------
    Its trials, and the folder from which it can be resumed.

    Raises
    ------
    StoreError
        If a store is damaged.
    DataError
        If the data cannot be learned from, if ``max_objects`` leaves no image to learn from or to
        be judged on, or if the executor could not finish the study.
    ConnectionError
        If workers cannot be reached, or are lost on the way.
    """
    folder = _folder_of(study)
    with (
        stoppable(f"finished trials are kept in {folder}"),
        progress(f"tune {study.objective}", study.settings.n_trials, "trials") as advance,
    ):
        if executor.kind == "inline":
            return search_here(study, folder, count=advance), folder
        with _followed(folder / LOG, study.settings.n_trials, advance):
            return _search_elsewhere(study, folder, executor), folder


def search_here(
    study: Study,
    folder: Path,
    *,
    count: Callable[[int], None] = lambda _: None,
) -> list[Trial]:
    """Run a study in this process.

    Parameters
    ----------
    count
        Called with 1 after each trial.
    """
    settings, cells = study.settings, opened(study.cells)
    tuned = replace(TUNED, reads=cells.reads[0])
    rows_of_all = read_head_data(cells, tuned)
    n_readers = sum(cells.reads_of(model) == tuned.reads for model in cells.models)
    with faults_of(cells.split), one_thread_each():
        learned, rows = rows_of_trials(rows_of_all, settings.max_objects, n_readers, settings.seed)
        del rows_of_all  # of which a sample is a small part
        cost = cost_of_trials(settings.facade, learned, rows, study.objective, seed=settings.seed)
        return run_study(
            cost,
            folder,
            n_trials=settings.n_trials,
            seed=settings.seed,
            advance=count,
            facade=settings.facade,
        )


def cost_of_trials(
    facade: Facade, learned: TrainingSet, rows: Rows, objective: str, *, seed: int
) -> Callable[[Hyperparameters], float]:
    """Cost of a plan, under the given way to choose plans."""
    if facade == "multifidelity":
        return continued_costs(learned, rows, objective, seed=seed)
    return lambda plan: validation_cost(learned, rows, objective, plan, seed=seed)


def rows_of_trials(
    data: TrainingSet, max_objects: int | None, n_models: int, seed: int
) -> tuple[TrainingSet, Rows]:
    """Rows that trials learn from and are judged on, from the same two parts as those of the heads.

    A head is validated on images that judged its trials and that no trial learned from.
    """
    train, validation = split_by_group(data.group, seed)
    if max_objects is None:
        return data, Rows(train, validation)
    n_judging = round(VALIDATION_SHARE * max_objects) * n_models
    most = {"learn from": max_objects * n_models - n_judging, "be judged on": n_judging}
    parts = []
    for part, (purpose, n_rows) in zip((train, validation), most.items(), strict=True):
        sampled = part[sample_by_group(data.group[part], n_rows, seed)]
        if not len(sampled):
            raise ParamsError(
                f"tune.max_objects must hold an image or video to {purpose}, got {max_objects}, "
                f"{n_rows // n_models} of them for that"
            )
        parts.append(sampled)
    kept = np.concatenate(parts)
    rows = Rows(*np.split(np.arange(len(kept)), [len(parts[0])]))
    targets = {name: values[kept] for name, values in data.targets.items()}
    return TrainingSet(data.inputs[kept], targets, data.group[kept]), rows


def search_there(study: Study, folder: Path) -> Found:
    """Run a study in a worker."""
    try:
        return search_here(study, folder)
    except ValueError as error:
        return error


def _search_elsewhere(study: Study, folder: Path, executor: ExecutorParams) -> list[Trial]:
    found: list[Found] = []
    task = Task(str(study), search_there, (study, folder))
    # SMAC3 chooses each trial by those before it, so that a second worker would have nothing to do.
    one = replace(executor, n_workers=1)
    check_all_done(run_tasks([task], one, lambda _, result: found.append(result)))
    if isinstance(found[0], ValueError):
        raise found[0]
    return found[0]


@contextmanager
def _followed(log: Path, n_trials: int, advance: Callable[[int], None]) -> Iterator[None]:
    """Count the trials that a worker adds to a log, and those that it finds there."""
    n_seen, is_over = 0, Event()

    def look() -> None:
        nonlocal n_seen
        n = min(len(read_log(log)), n_trials)
        advance(n - n_seen)
        n_seen = n

    def follow() -> None:
        while not is_over.wait(LOOK_S):
            look()

    thread = Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    look()


def _folder_of(study: Study) -> Path:
    """Folder named by all that trials depend on: a study resumes only under the same."""
    settings = study.settings
    given = {
        **origin_of(opened(study.cells)),
        "seed": settings.seed,
        "max_objects": str(settings.max_objects),
        "facade": settings.facade,
        "tune_version": VERSIONS["tune"],
        **versions("torch", "numpy", "scikit-learn", "smac", "ConfigSpace"),
    }
    return study_dir(study.cells.split, study.objective, digest(given))
