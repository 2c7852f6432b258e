"""The search for the hyperparameters of a head: what its trials learn from, and its study."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.head_sets import HeadSet
from pipeline.heads.hyperparameters import Hyperparameters, Trial
from pipeline.heads.objectives import VALIDATION_SHARE, TrainingSet, sample_by_group, split_by_group
from pipeline.heads.training import Rows
from pipeline.heads.trial_cost import continued_costs, validation_cost
from stages.heads.data import faults_of, read_head_data
from stages.heads.study import ROOT, Facade, run_study, sources_digest
from stages.shell.progress import progress
from stages.shell.rules import ParamsError
from stages.shell.stopping import stoppable
from storage.outputs.tuning import study_dir
from storage.split.cells import SplitCells
from storage.store.signature import digest, versions

TUNED: Final = HeadSet("best", "best")
"""The head set that trials use, the paper's; heads of all head sets take what they find."""


def search(
    cells: SplitCells,
    objective: str,
    *,
    n_trials: int,
    max_objects: int | None,
    seed: int,
    facade: Facade = "full",
) -> tuple[list[Trial], Path]:
    """Run the study of a head, or resume one that was interrupted.

    Parameters
    ----------
    max_objects
        Objects that trials learn from and are judged on; None takes all.
    seed
        Seed of the search, and of the images that judge it.

    Returns
    -------
    Its trials, and the folder from which it can be resumed.

    Raises
    ------
    ParamsError
        If ``max_objects`` leaves no image to learn from or to be judged on.
    """
    split, n_models = cells.split, len(cells.models)
    data = read_head_data(cells, TUNED)
    given = {**data.origin, "seed": seed, "max_objects": str(max_objects), "facade": facade}
    folder = study_dir(split, objective, _digest_of_study(given))
    _note_others(folder)
    with faults_of(split):
        learned, rows = rows_of_trials(data.rows, max_objects, n_models, seed)
    del data  # of which a sample is a small part
    with (
        faults_of(split),
        stoppable(f"finished trials are kept in {folder}"),
        progress(f"tune {objective}", n_trials, "trials") as advance,
    ):
        trials = run_study(
            cost_of_trials(facade, learned, rows, objective, seed),
            folder,
            n_trials=n_trials,
            seed=seed,
            advance=advance,
            facade=facade,
        )
    return trials, folder


def cost_of_trials(
    facade: Facade, learned: TrainingSet, rows: Rows, objective: str, seed: int
) -> Callable[[Hyperparameters], float]:
    """Cost of a plan, under the given way to choose plans."""
    if facade == "multifidelity":
        return continued_costs(learned, rows, objective, seed=seed)
    return lambda plan: validation_cost(learned, rows, objective, plan, seed=seed)


def _digest_of_study(given: Mapping[str, object]) -> str:
    """Digest of all that trials follow from: an interrupted study goes on only under the same."""
    sources = {"sources": sources_digest(ROOT)}
    packages = versions("torch", "numpy", "scikit-learn", "smac", "ConfigSpace")
    return digest({**given, **sources, **packages})


def _note_others(folder: Path) -> None:
    """Name interrupted studies of the same head that are not resumed."""
    for other in sorted(folder.parent.glob("*")):
        if other != folder:
            print(
                f"note: the interrupted study in {other} is of other sources, features or "
                "settings; this one starts without its trials",
                file=sys.stderr,
            )


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
