"""What a trial of hyperparameters costs."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Final

from pipeline.heads.hyperparameters import RANGES, Hyperparameters
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.training import DivergenceError, Rows, validation_errors

WORST_MSE: Final = 1.0
"""Largest error between a target and a prediction in [0, 1]: the cost of a trial that diverges."""

MOST_EPOCHS: Final = int(RANGES["epochs"][1])


def validation_cost(
    data: TrainingSet,
    rows: Rows,
    objective: str,
    plan: Hyperparameters,
    *,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> float:
    """Mean squared error on the validation rows, after the last epoch.

    Parameters
    ----------
    advance
        Called with 1 after each epoch.

    Raises
    ------
    ValueError
        If there is no validation row, or the training set is faulty.
    """
    *_, last = islice(_costs(data, rows, objective, plan, seed, advance), plan.epochs)
    return last


def continued_costs(
    data: TrainingSet,
    rows: Rows,
    objective: str,
    *,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Callable[[Hyperparameters], float]:
    """``validation_cost`` by plan, which goes on training where the same plan had fewer epochs.

    Heads stay in memory until one of them has had most epochs; the others, which fell behind it,
    would begin anew.

    Raises
    ------
    ValueError
        As ``validation_cost``.
    """
    running: dict[Hyperparameters, tuple[int, Iterator[float]]] = {}

    def cost(plan: Hyperparameters) -> float:
        longest = replace(plan, epochs=max(plan.epochs, MOST_EPOCHS))
        n_done, costs = running.pop(longest, (plan.epochs, iter(())))
        if n_done >= plan.epochs:
            n_done, costs = 0, _costs(data, rows, objective, longest, seed, advance)
        *_, last = islice(costs, plan.epochs - n_done)
        if plan.epochs < longest.epochs:
            running[longest] = plan.epochs, costs
        else:
            running.clear()
        return last

    return cost


def _costs(
    data: TrainingSet,
    rows: Rows,
    objective: str,
    plan: Hyperparameters,
    seed: int,
    advance: Callable[[int], None],
) -> Iterator[float]:
    """What a trial costs after each epoch, without end."""
    if not len(rows.validation):
        raise ValueError("hyperparameters must be judged on at least one row, got none")
    return chain(
        _until_divergence(validation_errors(data, rows, objective, plan, seed=seed), advance),
        repeat(WORST_MSE),
    )


def _until_divergence(errors: Iterator[float], advance: Callable[[int], None]) -> Iterator[float]:
    try:
        for error in errors:
            advance(1)
            yield error
    except DivergenceError:
        return
