"""Stage ``tune``: hyperparameters of one head, searched by SMAC3 or taken from the params.

Reads   ``params.yaml:tune``; with trials, ``cache/features/<train split>`` (identity) too.
Writes  ``heads/<train split>/tuning/``: ``<objective>.json`` and, every trial, ``<objective>.csv``.
"""

import shutil
from typing import Annotated

from pydantic import Field

from pipeline.heads.hyperparameters import Hyperparameters, Trial, rank_trials
from pipeline.vocabulary import OBJECTIVES
from stages.shell.edge import stage_main
from stages.shell.params import check_known, read_block, read_lists, strict
from storage.outputs.tuning import Tuning, write_trials, write_tuning
from storage.paths import trials_path, tuning_path


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
        # Imported here because it takes seconds, and 0 trials need none of it.
        from stages.heads.search import search  # noqa: PLC0415

        trials, folder = search(
            split,
            objective,
            lists.models,
            n_trials=params.n_trials,
            max_objects=params.max_objects,
            seed=params.seed,
        )
    ranked = rank_trials(trials)
    best = ranked[0] if ranked else None
    plan, cost = (best.plan, best.mse) if best else (_default(params), None)
    tuning = Tuning(plan=plan, cost=cost, n_trials=params.n_trials, seed=params.seed)
    write_trials(trials_path(split, objective), ranked)
    write_tuning(tuning_path(split, objective), tuning)
    if folder is not None:
        # Kept, its log would answer every trial of `dvc repro -f`, and nothing be trained.
        shutil.rmtree(folder)


def _default(params: TuneParams) -> Hyperparameters:
    return Hyperparameters(params.epochs, params.batch_size, params.learning_rate, params.momentum)


if __name__ == "__main__":
    main()
