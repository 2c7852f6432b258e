"""Stage ``train``: features of a train split in, its nine heads out.

Reads   ``params.yaml:train``, ``cache/objects/<split>.zarr``, ``cache/features/<split>``
        (identity), ``heads/<split>/tuning``.
Writes  ``heads/<split>/``: ``<objective>.safetensors``, ``curves.csv``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import pandas as pd
from pydantic import Field

from pipeline.heads import HIDDEN
from pipeline.objectives import split_by_image
from pipeline.training import Rows, TrainedHead, train_heads
from pipeline.vocabulary import OBJECTIVES
from stages.head_data import faults_of, read_head_data
from stages.params import check_known, read_block, read_lists, strict
from stages.progress import progress
from stages.shell import stage_main
from storage.errors import DataError
from storage.heads import write_head
from storage.layout import head_path, heads_dir, tuning_path
from storage.tuning import Tuning, read_tuning


@strict
class TrainParams:
    """Settings of the stage."""

    seed: Annotated[int, Field(ge=0)]


@stage_main
def main(split: str) -> None:
    """Train every head of a train split."""
    lists = read_lists()
    check_known("train split", split, lists.train_splits)
    params = read_block("train", TrainParams)
    tunings = {name: read_tuning(tuning_path(split, name)) for name in OBJECTIVES}
    split_seed = _one_seed(split, tunings)
    data = read_head_data(split, lists.models)
    plans = {name: tuning.plan for name, tuning in tunings.items()}
    n_epochs = sum(plan.epochs for plan in plans.values())
    with faults_of(split), progress(f"train {split}", n_epochs, "epochs") as advance:
        # The images that judged the trials validate the heads, too.
        rows = Rows(*split_by_image(data.rows.image, split_seed))
        trained = train_heads(data.rows, rows, plans, seed=params.seed, advance=advance)
    for objective, head in trained.items():
        about = {"split": split, "seed": str(params.seed)} | _metadata(tunings[objective], head)
        write_head(
            head_path(split, objective),
            head.weights,
            {"objective": objective, "hidden": str(HIDDEN), **about, **data.origin},
        )
    _curves(trained).to_csv(heads_dir(split) / "curves.csv", index=False, lineterminator="\n")
    _print_errors(split, trained)


def _one_seed(split: str, tunings: Mapping[str, Tuning]) -> int:
    seeds = {name: tuning.seed for name, tuning in tunings.items()}
    if len(set(seeds.values())) > 1:
        raise DataError(f"heads of {split} must be tuned under one seed, got {seeds}")
    return next(iter(seeds.values()))


def _metadata(tuning: Tuning, head: TrainedHead) -> dict[str, str]:
    return {
        "schema": "1",
        "hyperparameters": json.dumps(asdict(tuning.plan)),
        "n_trials": str(tuning.n_trials),
        "validation_mse": str(float(head.validation_mse[-1])),
    }


def _curves(trained: Mapping[str, TrainedHead]) -> pd.DataFrame:
    return pd.concat(
        pd.DataFrame(
            {
                "objective": objective,
                "epoch": range(1, len(head.train_mse) + 1),
                "train_mse": head.train_mse,
                "validation_mse": head.validation_mse,
            }
        )
        for objective, head in trained.items()
    )


def _print_errors(split: str, trained: Mapping[str, TrainedHead]) -> None:
    for objective, head in trained.items():
        print(f"{split} {objective}: validation error {head.validation_mse[-1]:.4f}")


if __name__ == "__main__":
    main()
