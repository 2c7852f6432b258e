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
from stages.executor.executors import Task, executor_of, results_of
from stages.executor.opened_cells import CellsToOpen, opened
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


FittedHeads = Mapping[HeadToFit, TrainedHead]

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
    is_here = executor.kind == "inline"
    found: FittedHeads = {} if is_here else _fit_elsewhere(cells, todo, executor)
    for head_set, heads in todo.items():
        # Here one after the other, so that only the tokens of one set are in memory.
        trained = _fit_here(cells, head_set, heads) if is_here else found
        yield head_set, {one: trained[one] for one in heads}


def _fit_elsewhere(
    cells: CellsToOpen, todo: Mapping[HeadSet, Sequence[HeadToFit]], executor: ExecutorParams
) -> FittedHeads:
    every = [one for heads in todo.values() for one in heads]
    # Workers read the data themselves.
    tasks = [Task(str(one), fit_there, (cells, one)) for one in every]
    n_epochs = sum(one.plan.epochs for one in every)
    with (
        progress(f"train {cells.split}", n_epochs, "epochs") as count,
        executor_of(executor) as run,
    ):
        trained = results_of(run, tasks, lambda task, _: count(task.arguments[1].plan.epochs))
    return dict(zip(every, trained, strict=True))


def _fit_here(cells: CellsToOpen, head_set: HeadSet, heads: Sequence[HeadToFit]) -> FittedHeads:
    """Train heads in as many threads as PyTorch may use, each of which computes alone.

    Notes
    -----
    Two that train a head each end in two thirds of the time that two take for one head after the
    other: its products are small.
    """
    data = read_head_data(opened(cells), head_set)
    n_epochs = sum(one.plan.epochs for one in heads)
    with (
        progress(f"train {cells.split} {head_set}", n_epochs, "epochs") as advance,
        one_thread_each() as n_threads,
        executor_of(ExecutorParams(), n_threads=n_threads) as run,
    ):
        trained = results_of(run, [Task(str(one), _fit, (data, one, advance)) for one in heads])
    return dict(zip(heads, trained, strict=True))


def fit_there(cells: CellsToOpen, one: HeadToFit) -> TrainedHead:
    """Train a head in a process that does nothing else."""
    key = cells, one.head_set
    data = _read.get(key)
    if data is None:
        _read.clear()  # first, so that only the tokens of one set are in memory
        data = _read[key] = read_head_data(opened(cells), one.head_set)
    with one_thread_each():  # as ``_fit_here``, for the same bits
        return _fit(data, one, lambda _: None)


def _fit(data: TrainingSet, one: HeadToFit, advance: Callable[[int], None]) -> TrainedHead:
    # The images, or videos, that judged the trials also validate the heads. A split that has none
    # to spare is refused before a head is trained.
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
