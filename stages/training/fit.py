"""Trains heads, each a task: one set validated on a fifth of the images, one on all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from pipeline.heads.kinds import KINDS_BY_NAME, HeadSet
from pipeline.heads.objectives import TrainingSet, split_by_group
from pipeline.heads.training import Plan, Rows, TrainedHead, train_head
from stages.executor.cells import CellsToOpen, opened
from stages.executor.executors import executor_of
from stages.executor.tasks import Task, results_of
from stages.program.progress import progress
from stages.settings.blocks import ExecutorParams
from stages.training.data import read_head_data


@dataclass(frozen=True)
class HeadToFit:
    """A head to train, described so that any worker can train it."""

    head_set: HeadSet
    objective: str
    plan: Plan
    seed: int
    """Of initial weights and batches."""
    judging_seed: int
    """Of the images that judge."""
    is_kept: bool
    """Whether it learns from all images, not from four fifths to be judged on the others."""

    def __str__(self) -> str:
        return f"the head {self.head_set} {self.objective}{'' if self.is_kept else ', validated'}"


FittedHeads = tuple[Mapping[str, TrainedHead], Mapping[str, TrainedHead]]
"""Heads by objective: those that are validated, and those that learned from all images."""

Fitted = TrainedHead | ValueError
"""What comes of a task: a head, or why the method does not take the data, which no other try would
change."""

_read: Final[dict[tuple[CellsToOpen, HeadSet], TrainingSet]] = {}
"""The data that a worker read last, for the other heads of the set."""


def heads_to_fit(
    head_set: HeadSet, plans: Mapping[str, Plan], *, seed: int, judging_seed: int
) -> list[HeadToFit]:
    """Two heads for each objective.

    Parameters
    ----------
    plans
        How to train each objective.
    """
    # The longest first, so that no worker starts one when the others end.
    return [
        HeadToFit(head_set, objective, plan, seed, judging_seed, is_kept)
        for is_kept in (True, False)
        for objective, plan in plans.items()
    ]


def fit_sets(
    cells: CellsToOpen, todo: Mapping[HeadSet, Sequence[HeadToFit]], executor: ExecutorParams
) -> Iterator[tuple[HeadSet, FittedHeads]]:
    """The heads of each set, as ``heads_to_fit`` has them.

    Raises
    ------
    ValueError
        As ``pipeline.heads.training.train_head``.
    DataError
        If the executor could not train a head.

    Notes
    -----
    As in the paper, 80/20 serves the choice of hyperparameters; the heads that are kept learn from
    every image, and the validation error says how well such heads do on other images.
    """
    if executor.kind != "inline":
        return _fit_elsewhere(cells, todo, executor)
    # One after the other, so that only the tokens of one set are in memory.
    return ((head_set, _fit_set_here(cells, head_set, heads)) for head_set, heads in todo.items())


def _fit_set_here(cells: CellsToOpen, head_set: HeadSet, heads: Sequence[HeadToFit]) -> FittedHeads:
    data = _rows_of(cells, head_set)
    n_epochs = sum(one.plan.epochs for one in heads)
    with progress(f"train {cells.split} {head_set}", n_epochs, "epochs") as advance:
        return _by_objective(heads, fit_here(data, heads, advance))


def _fit_elsewhere(
    cells: CellsToOpen, todo: Mapping[HeadSet, Sequence[HeadToFit]], executor: ExecutorParams
) -> Iterator[tuple[HeadSet, FittedHeads]]:
    every = [one for heads in todo.values() for one in heads]
    with progress(f"train {cells.split}", sum(one.plan.epochs for one in every), "epochs") as count:
        # Workers read the data themselves.
        tasks = [Task(str(one), fit_there, (cells, one)) for one in every]
        found = _run(tasks, executor, lambda one: count(one.plan.epochs))
    for head_set, heads in todo.items():
        yield head_set, _by_objective(heads, found)


def fit_here(
    data: TrainingSet, heads: Sequence[HeadToFit], advance: Callable[[int], None]
) -> dict[HeadToFit, TrainedHead]:
    """Train heads in as many threads as PyTorch may use, each of which computes alone.

    Parameters
    ----------
    advance
        Called with 1 after each epoch of a head, from any thread.

    Notes
    -----
    Two that train a head each end in two thirds of the time that two take for one head after the
    other: its products are small.
    """
    with one_thread_each() as n_threads:
        # None of this is sent to workers.
        tasks = [Task(str(one), _fit, (data, one, advance)) for one in heads]
        return _run(tasks, ExecutorParams(), lambda _: None, n_threads)


def fit_there(cells: CellsToOpen, one: HeadToFit) -> Fitted:
    """Train a head in a process that does nothing else."""
    key = cells, one.head_set
    data = _read.get(key)
    if data is None:
        _read.clear()  # first, so that only the tokens of one set are in memory
        data = _read[key] = _rows_of(cells, one.head_set)
    with one_thread_each():  # as ``fit_here``, for the same bits
        return _fit(data, one, lambda _: None)


def _fit(data: TrainingSet, one: HeadToFit, advance: Callable[[int], None]) -> Fitted:
    try:
        # The images, or videos, that judged the trials also validate the heads. A split that has
        # none to spare is refused at once.
        held_out = Rows(*split_by_group(data.group, one.judging_seed))
        everything = Rows(np.arange(len(data.group)), np.arange(0))
        return train_head(
            data,
            everything if one.is_kept else held_out,
            one.objective,
            one.plan,
            seed=one.seed,
            kind=KINDS_BY_NAME[one.head_set.kind],
            advance=advance,
        )
    except ValueError as error:
        return error


def _run(
    tasks: Sequence[Task[Fitted]],
    executor: ExecutorParams,
    note: Callable[[HeadToFit], None],
    n_threads: int = 1,
) -> dict[HeadToFit, TrainedHead]:
    found: dict[HeadToFit, TrainedHead] = {}

    def keep(task: Task[Fitted], fitted: Fitted) -> None:
        if isinstance(fitted, ValueError):
            raise fitted
        one = task.arguments[1]
        found[one] = fitted
        note(one)

    with executor_of(executor, n_threads=n_threads) as run:
        results_of(run, tasks, keep)
    return found


def _by_objective(
    heads: Sequence[HeadToFit], found: Mapping[HeadToFit, TrainedHead]
) -> FittedHeads:
    validated, kept = (
        {one.objective: found[one] for one in heads if one.is_kept == is_kept}
        for is_kept in (False, True)
    )
    return validated, kept


def _rows_of(cells: CellsToOpen, head_set: HeadSet) -> TrainingSet:
    return read_head_data(opened(cells), head_set)


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Train with one thread within the block.

    Yields
    ------
    How many PyTorch may use: as many can train at once.

    Notes
    -----
    The products of a step are small: a second thread costs more than it saves. And last bits may
    depend on how many share a sum.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield n_threads
    finally:
        torch.set_num_threads(n_threads)
