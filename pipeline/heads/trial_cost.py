"""What a trial of hyperparameters costs."""

from typing import Final

from pipeline.heads.hyperparameters import Hyperparameters
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.training import DivergenceError, Rows, train_heads

WORST_MSE: Final = 1.0
"""Largest error between a target and a prediction in [0, 1]: the cost of a trial that diverges."""


def validation_cost(
    data: TrainingSet, rows: Rows, objective: str, plan: Hyperparameters, *, seed: int
) -> float:
    """Mean squared error on the validation rows, after the last epoch.

    Raises
    ------
    ValueError
        If there is no validation row, or the training set is faulty.
    """
    if not len(rows.validation):
        raise ValueError("hyperparameters must be judged on at least one row, got none")
    try:
        trained = train_heads(data, rows, {objective: plan}, seed=seed)
    except DivergenceError:
        return WORST_MSE
    return float(trained[objective].validation_mse[-1])
