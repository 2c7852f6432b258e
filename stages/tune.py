"""Stage ``tune``: hyperparameters of one head, searched by SMAC3 or taken from the params.

Reads   ``params.yaml:tune``; with trials, ``cache/features/<train split>`` (identity) too.
Writes  ``heads/<train split>/tuning/``: ``<objective>.json`` and, every trial, ``<objective>.csv``.
"""

from typing import Annotated

from pydantic import Field

from pipeline.hyperparameters import RANGES, WEIGHT_DECAY, Hyperparameters, Trial, rank_trials
from pipeline.vocabulary import OBJECTIVES
from stages.params import check_known, read_block, read_lists, strict
from stages.progress import progress
from stages.shell import stage_main
from storage.layout import trials_path, tuning_path
from storage.tuning import Tuning, study_dir, write_trials, write_tuning


@strict
class TuneParams:
    """Settings of the stage; with 0 trials, the last four are the choice."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    n_trials: Annotated[int, Field(ge=0)]
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
    trials = _search(split, objective, lists.models, params) if params.n_trials else []
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


def _default(params: TuneParams) -> Hyperparameters:
    return Hyperparameters(params.epochs, params.batch_size, params.learning_rate, params.momentum)


def _search(split: str, objective: str, models: tuple[str, ...], params: TuneParams) -> list[Trial]:
    # Imported here because it takes seconds, and 0 trials need none of it.
    from pipeline.heads import HIDDEN  # noqa: PLC0415
    from pipeline.objectives import split_by_group  # noqa: PLC0415
    from pipeline.training import Rows  # noqa: PLC0415
    from pipeline.tuning import validation_cost  # noqa: PLC0415
    from stages.head_data import faults_of, read_head_data  # noqa: PLC0415
    from stages.study import run_study  # noqa: PLC0415
    from storage.signature import digest, versions  # noqa: PLC0415

    data = read_head_data(split, models)
    # Trials of an interrupted study are taken up again only if they would end the same today.
    inputs = digest(
        {
            **data.origin,
            "seed": params.seed,
            "ranges": repr(RANGES),
            "weight_decay": WEIGHT_DECAY,
            "hidden": HIDDEN,
            **versions("torch", "numpy", "scikit-learn", "smac", "ConfigSpace"),
        }
    )
    with faults_of(split), progress(f"tune {objective}", params.n_trials, "trials") as advance:
        rows = Rows(*split_by_group(data.rows.group, params.seed))
        return run_study(
            lambda plan: validation_cost(data.rows, rows, objective, plan, seed=params.seed),
            study_dir(split, objective, inputs),
            n_trials=params.n_trials,
            seed=params.seed,
            advance=advance,
        )


if __name__ == "__main__":
    main()
