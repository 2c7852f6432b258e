"""Trains heads, in a task for the heads that share layers. Each objective has two heads or more.

The final head learns from all images; the others learn from a part and are validated.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from pipeline.heads.kinds import HeadSet
from pipeline.heads.objectives import N_FOLDS, TrainingSet, fold_by_group, half_by_group
from pipeline.heads.predict import HeadWeights
from pipeline.heads.training import Plan, Rows, TrainedHead, train_heads
from stages.executor.executors import executor_of
from stages.executor.opened_cells import CellsToOpen, opened
from stages.executor.tasks import Task, results_of
from stages.program.progress import progress
from stages.settings.blocks import ExecutorParams
from stages.training.data import read_head_data


@dataclass(frozen=True)
class HeadsToFit:
    """Heads to train together: their objectives, hyperparameters and seeds; final or validated.

    Several objectives share the layers of one network.
    """

    head_set: HeadSet
    objectives: tuple[str, ...]
    plan: Plan
    seed: int
    """Seed of the initial weights and of the order of the batches."""
    judging_seed: int
    """Seed of the choice of the images for validation."""
    is_final: bool
    """Whether the heads learn from all images; otherwise a fifth is left out to validate them."""
    fold: int = 0
    """Number of this fifth; the first fifth also judges the trials of the stage ``tune``."""
    is_halved: bool = False
    """Whether validated heads learn from half of the other images, as if there were fewer."""

    def __str__(self) -> str:
        name = f"the head {self.head_set} {self.objectives[0]}"
        others = " and others" if len(self.objectives) > 1 else ""
        part = "" if self.is_final else f", validated {self.fold + 1} of {N_FOLDS}"
        half = " on half of the images" if self.is_halved else ""
        return f"{name}{others}{part}{half}"


FittedHeads = Mapping[HeadsToFit, Mapping[str, TrainedHead]]
"""Trained heads by objective, for each entry of ``heads_to_fit``."""


def weights_by_fold(fitted: FittedHeads) -> dict[int, dict[str, HeadWeights]]:
    """Weights of validated heads, by the number of the held-out fold, then by objective."""
    return {
        heads.fold: {objective: head.weights for objective, head in by_objective.items()}
        for heads, by_objective in fitted.items()
        if not heads.is_final
    }


_last_data: Final[dict[tuple[CellsToOpen, HeadSet], TrainingSet]] = {}
"""The training data that this worker read last, reused for heads of the same head set.

It holds one entry at most.
"""


def heads_to_fit(
    head_set: HeadSet, plans: Mapping[str, Plan], *, seed: int, judging_seed: int
) -> list[HeadsToFit]:
    """List the heads to train for a head set: for each objective, a final and a validated head.

    Heads that share layers are one entry; they have one plan. Heads of the first seed that choose
    masks have a validated head for each of ``N_FOLDS``, to measure their errors on all images.

    Parameters
    ----------
    plans
        Hyperparameters of the training, by objective; heads that share layers take the first.
    seed
        Seed of the initial weights and of the order of the batches.
    judging_seed
        Seed of the choice of the images for validation.
    """
    shares_layers = head_set.of_kind.shares_layers
    together = [tuple(plans)] if shares_layers else [(objective,) for objective in plans]
    n_folds = N_FOLDS if head_set.chooses_masks and head_set.seed is None else 1
    # Final heads take longer. They come first, so that no worker begins one when others are done.
    return [
        HeadsToFit(head_set, objectives, plans[objectives[0]], seed, judging_seed, is_final, fold)
        for is_final, fold in [(True, 0), *((False, fold) for fold in range(n_folds))]
        for objectives in together
    ]


def fit_sets(
    cells: CellsToOpen, todo: Mapping[HeadSet, Sequence[HeadsToFit]], executor: ExecutorParams
) -> Iterator[tuple[HeadSet, FittedHeads]]:
    """Train the heads of each head set, and yield each head set with its trained heads.

    Parameters
    ----------
    todo
        Heads to train by head set, as ``heads_to_fit`` lists them.

    Raises
    ------
    ValueError
        If there are fewer than two images or videos, an input or a target is not finite, or the
        training error of a head is no longer finite.
    StoreError
        If a store is missing, damaged, or of other settings than ``cells`` expects.
    DataError
        If all workers died that trained a head, or several tasks failed.
    ConnectionError
        If workers cannot be reached, or the connection is lost later.

    Notes
    -----
    As in the paper, hyperparameters are chosen by 80 % of the images for training and 20 % for
    validation. The final heads learn from every image. The validation error says how well heads
    with the same hyperparameters do on images that they did not learn from.
    """
    if executor.kind == "inline":
        # Head sets follow each other, so that only the tokens of one head set are in memory.
        for head_set, heads in todo.items():
            yield head_set, _fit_here(cells, head_set, heads)
    else:
        trained = _fit_elsewhere(cells, todo, executor)
        for head_set, heads in todo.items():
            yield head_set, {head: trained[head] for head in heads}


def _fit_elsewhere(
    cells: CellsToOpen, todo: Mapping[HeadSet, Sequence[HeadsToFit]], executor: ExecutorParams
) -> FittedHeads:
    to_fit = [head for heads in todo.values() for head in heads]
    # Each worker reads the training data from the cells itself.
    tasks = [Task(str(head), fit_in_worker, (cells, head)) for head in to_fit]
    n_epochs = sum(head.plan.epochs for head in to_fit)
    with (
        progress(f"train {cells.split}", n_epochs, "epochs") as count,
        executor_of(executor, f"train {cells.split}") as run,
    ):
        trained = results_of(run, tasks, lambda task, _: count(task.arguments[1].plan.epochs))
    return dict(zip(to_fit, trained, strict=True))


def _fit_here(cells: CellsToOpen, head_set: HeadSet, heads: Sequence[HeadsToFit]) -> FittedHeads:
    """Train heads in threads of this process, as many at once as PyTorch may use threads.

    Notes
    -----
    Two threads that each train a head take two thirds of the time of two threads that together
    train one head and then the other, because the matrices of a head are small.
    """
    data = read_head_data(opened(cells), head_set)
    n_epochs = sum(head.plan.epochs for head in heads)
    with (
        progress(f"train {cells.split} {head_set}", n_epochs, "epochs") as advance,
        one_thread_each() as n_threads,
        executor_of(ExecutorParams(), n_threads=n_threads) as run,
    ):
        trained = results_of(run, [Task(str(head), _fit, (data, head, advance)) for head in heads])
    return dict(zip(heads, trained, strict=True))


def fit_in_worker(cells: CellsToOpen, head: HeadsToFit) -> dict[str, TrainedHead]:
    """Train heads in a worker process, which reads the training data itself; heads by objective.

    The data stay in memory for the next heads of the same head set.
    """
    key = cells, head.head_set
    data = _last_data.get(key)
    if data is None:
        _last_data.clear()  # before reading, so that only the tokens of one set are in memory
        data = _last_data[key] = read_head_data(opened(cells), head.head_set)
    with one_thread_each():  # as in ``_fit_here``, so that the weights have the same bits
        return _fit(data, head, lambda _: None)


def _fit(
    data: TrainingSet, head: HeadsToFit, advance: Callable[[int], None]
) -> dict[str, TrainedHead]:
    # The images, or videos, that judged the trials also validate the heads. The split is drawn for
    # final heads, too, so that too few images are refused before any head is trained.
    train, held_out = fold_by_group(data.group, head.judging_seed, head.fold)
    if head.is_halved:
        train = train[half_by_group(data.group[train], head.judging_seed)]
    all_rows = Rows(np.arange(len(data.group)), np.arange(0))
    return train_heads(
        data,
        all_rows if head.is_final else Rows(train, held_out),
        head.objectives,
        head.plan,
        seed=head.seed,
        kind=head.head_set.of_kind,
        advance=advance,
    )


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Let PyTorch use a single thread for each operation within the block.

    Yields
    ------
    The number of threads that PyTorch used before: as many heads can be trained at once.

    Notes
    -----
    The matrices of a training step are small, so a second thread costs more than it saves. The last
    bits of a sum may also depend on the number of threads that compute it.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield n_threads
    finally:
        torch.set_num_threads(n_threads)
