"""Trials of hyperparameters as a table: the paper's Table 8."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

import pandas as pd

from pipeline.heads.hyperparameters import Trial, rank_trials
from pipeline.vocabulary import OBJECTIVES
from storage.errors import DataError
from storage.outputs.tuning import COLUMNS, read_trials, read_tuning
from storage.paths import trials_path, tuning_path

Trials = Mapping[tuple[str, str], Iterable[Trial]]
"""Trials by train split and objective."""


def read_all_trials(train_splits: Iterable[str]) -> Trials:
    """Trials of every head; none if the params' defaults were used.

    Raises
    ------
    DataError
        If a table of trials is missing or damaged, or has fewer or more than the choice records.
    """
    return {
        (split, objective): _read_trials(split, objective)
        for split in train_splits
        for objective in OBJECTIVES
    }


def _read_trials(split: str, objective: str) -> list[Trial]:
    path = trials_path(split, objective)
    trials = read_trials(path)
    n_trials = read_tuning(tuning_path(split, objective)).n_trials
    if len(trials) != n_trials:
        raise DataError(
            f"{path} must have {n_trials} trials, got {len(trials)}: run the stage tune again"
        )
    return trials


def trial_table(trials: Trials) -> pd.DataFrame:
    """Trials of each objective, best first; no rows if there were none."""
    rows = [
        {"trained_on": split, "objective": objective, "rank": rank, "mse": trial.mse}
        | asdict(trial.plan)
        for (split, objective), tried in trials.items()
        for rank, trial in enumerate(rank_trials(tried), start=1)
    ]
    return pd.DataFrame(rows, columns=["trained_on", "objective", *COLUMNS])
