"""Trials of hyperparameters: the rows that they learn from and are judged on, and their costs."""

from collections.abc import Callable
from typing import Final

import numpy as np

from pipeline.head_sets import HeadSet
from pipeline.heads.hyperparameters import Hyperparameters
from pipeline.heads.objectives import VALIDATION_SHARE, TrainingSet, sample_by_group, split_by_group
from pipeline.heads.training import Rows
from pipeline.heads.trial_cost import continued_costs, validation_cost
from stages.heads.study import Facade
from stages.shell.parsing import ParamsError

TUNED: Final = HeadSet("best", "best")
"""The head set that trials use, the paper's; heads of all head sets take what they find."""


def cost_of_trials(
    facade: Facade,
    learned: TrainingSet,
    rows: Rows,
    objective: str,
    *,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Callable[[Hyperparameters], float]:
    """Cost of a plan, under the given way to choose plans.

    Parameters
    ----------
    advance
        Called with 1 after each epoch of a trial.
    """
    if facade == "multifidelity":
        return continued_costs(learned, rows, objective, seed=seed, advance=advance)
    return lambda plan: validation_cost(learned, rows, objective, plan, seed=seed, advance=advance)


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
    return TrainingSet(data.inputs[kept], data.targets[kept], data.group[kept]), rows
