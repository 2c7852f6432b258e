"""Stage ``tune``: hyperparameters of one head, searched by SMAC3 or taken from the params.

Reads   ``params.yaml:tune``; with trials, ``cache/features/<train split>`` (identity) too.
Writes  ``heads/<train split>/tuning/``: ``<objective>.json`` and, every trial, ``<objective>.csv``.
"""

import shutil
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from pipeline.hyperparameters import Hyperparameters, Trial, rank_trials
from pipeline.vocabulary import OBJECTIVES
from stages.params import ParamsError, check_known, read_block, read_lists, strict
from stages.progress import progress
from stages.shell import stage_main
from storage.layout import trials_path, tuning_path
from storage.tuning import Tuning, study_dir, write_trials, write_tuning

MIN_GROUPS: Final = 2
"""Images or videos that trials need: one to learn from, one to be judged on."""


@strict
class TuneParams:
    """Settings of the stage; with 0 trials, the last four are the choice."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    n_trials: Annotated[int, Field(ge=0)]
    max_objects: Annotated[int, Field(ge=1)] | None
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    momentum: Annotated[float, Field(ge=0, lt=1)]


@stage_main
def main(split: str, objective: str) -> None:
    """Choose the hyperparameters of one head of a train split."""
    lists = read_lists()
    check_known("train split", split, lists.train_splits)
    check_known("objective", objective, OBJECTIVES)
    params = read_block("tune", TuneParams)
    trials: list[Trial] = []
    folder = None
    if params.n_trials:
        trials, folder = _search(split, objective, lists.models, params)
    ranked = rank_trials(trials)
    best = ranked[0] if ranked else None
    tuning = Tuning(
        plan=best.plan if best else _default(params),
        cost=best.mse if best else None,
        n_trials=params.n_trials,
        seed=params.seed,
    )
    write_trials(trials_path(split, objective), ranked)
    write_tuning(tuning_path(split, objective), tuning)
    if folder is not None:
        # Kept, its log would answer every trial of `dvc repro -f`, and nothing be trained.
        shutil.rmtree(folder)


def _default(params: TuneParams) -> Hyperparameters:
    return Hyperparameters(params.epochs, params.batch_size, params.learning_rate, params.momentum)


def _search(
    split: str, objective: str, models: tuple[str, ...], params: TuneParams
) -> tuple[list[Trial], Path]:
    """Trials of a study, and the folder that it can be taken up from."""
    # Imported here because it takes seconds, and 0 trials need none of it.
    import numpy as np  # noqa: PLC0415

    from pipeline.objectives import sample_by_group, split_by_group  # noqa: PLC0415
    from pipeline.training import Rows  # noqa: PLC0415
    from pipeline.tuning import validation_cost  # noqa: PLC0415
    from stages.head_data import faults_of, read_head_data  # noqa: PLC0415
    from stages.study import ROOT, run_study, sources_digest  # noqa: PLC0415
    from storage.signature import digest, versions  # noqa: PLC0415

    data = read_head_data(split, models)
    # Trials of an interrupted study are taken up again only if they would end the same today.
    inputs = digest(
        {
            **data.origin,
            "seed": params.seed,
            "max_objects": str(params.max_objects),
            "sources": sources_digest(ROOT),
            **versions("torch", "numpy", "scikit-learn", "smac", "ConfigSpace"),
        }
    )
    folder = study_dir(split, objective, inputs)
    group = data.rows.group
    sampled = np.arange(len(group))
    if params.max_objects is not None:
        sampled = sample_by_group(group, params.max_objects * len(models), params.seed)
        if len(np.unique(group[sampled])) < MIN_GROUPS:
            raise ParamsError(
                f"tune.max_objects must hold {MIN_GROUPS} images or videos of {split}, "
                f"got {params.max_objects}"
            )
    with faults_of(split), progress(f"tune {objective}", params.n_trials, "trials") as advance:
        train, validation = split_by_group(group[sampled], params.seed)
        rows = Rows(sampled[train], sampled[validation])
        trials = run_study(
            lambda plan: validation_cost(data.rows, rows, objective, plan, seed=params.seed),
            folder,
            n_trials=params.n_trials,
            seed=params.seed,
            advance=advance,
        )
    return trials, folder


if __name__ == "__main__":
    main()
