"""The search for the hyperparameters of a head: what its trials learn from, and its study."""

import sys
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Int

from pipeline.hyperparameters import Trial
from pipeline.objectives import sample_by_group, split_by_group
from pipeline.training import Rows
from pipeline.tuning import validation_cost
from stages.head_data import faults_of, read_head_data
from stages.params import ParamsError
from stages.progress import progress
from stages.study import ROOT, run_study, sources_digest
from storage.signature import digest, versions
from storage.tuning import study_dir

MIN_GROUPS: Final = 2
"""Images or videos that trials need: one to learn from, one to be judged on."""


def search(
    split: str,
    objective: str,
    models: tuple[str, ...],
    *,
    n_trials: int,
    max_objects: int | None,
    seed: int,
) -> tuple[list[Trial], Path]:
    """Run the study of a head, or take up one that was interrupted.

    Parameters
    ----------
    max_objects
        That trials learn from, and are judged on; None takes all.
    seed
        Of the search, and of the images that judge it.

    Returns
    -------
    Its trials, and the folder that it can be taken up from.

    Raises
    ------
    ParamsError
        If ``max_objects`` leaves no image to learn from or to be judged on.
    """
    data = read_head_data(split, models)
    # Trials of an interrupted study are taken up again only if they would end the same today.
    inputs = digest(
        {
            **data.origin,
            "seed": seed,
            "max_objects": str(max_objects),
            "sources": sources_digest(ROOT),
            **versions("torch", "numpy", "scikit-learn", "smac", "ConfigSpace"),
        }
    )
    folder = study_dir(split, objective, inputs)
    _tell_of_others(folder)
    group = data.rows.group
    sampled = np.arange(len(group))
    if max_objects is not None:
        sampled = sample_by_group(group, max_objects * len(models), seed)
        _check_sample(split, group[sampled], max_objects)
    with faults_of(split), progress(f"tune {objective}", n_trials, "trials") as advance:
        train, validation = split_by_group(group[sampled], seed)
        rows = Rows(sampled[train], sampled[validation])
        trials = run_study(
            lambda plan: validation_cost(data.rows, rows, objective, plan, seed=seed),
            folder,
            n_trials=n_trials,
            seed=seed,
            advance=advance,
        )
    return trials, folder


def _tell_of_others(folder: Path) -> None:
    """Name interrupted studies of the same head that are not taken up."""
    for other in sorted(folder.parent.glob("*")):
        if other != folder:
            print(
                f"note: the interrupted study in {other} is of other sources, features or "
                "settings: this one starts without its trials",
                file=sys.stderr,
            )


def _check_sample(split: str, group: Int[np.ndarray, " sampled"], max_objects: int) -> None:
    if len(np.unique(group)) < MIN_GROUPS:
        raise ParamsError(
            f"tune.max_objects must hold {MIN_GROUPS} images or videos of {split}, "
            f"got {max_objects}"
        )
