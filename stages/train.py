"""Stage ``train``: features of a train split in, nine heads of each token set out.

Reads   ``params.yaml:train``, ``cache/objects/<split>.zarr``, ``cache/features/<split>``
        (identity), ``heads/<split>/tuning``; ``params.yaml:extract``, to hold the cells to it.
Writes  ``heads/<split>/``: ``<objective>.safetensors``, ``curves.csv``; of other token sets than
        ``best``, ``tokens/<tokens>/<objective>.safetensors`` and, of all, ``tokens/curves.csv``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict

from pipeline.heads.objectives import split_by_group
from pipeline.heads.predict import HIDDEN
from pipeline.heads.training import Rows, TrainedHead, train_heads
from pipeline.vocabulary import OBJECTIVES
from stages.heads.data import HeadData, faults_of, read_head_data
from stages.heads.trained import Heads, write_heads
from stages.shell.asked import asked_of_cells, train_cells
from stages.shell.edge import stage_main
from stages.shell.params import read_params
from stages.shell.progress import progress
from stages.shell.rules import check_known
from stages.shell.unchanged import check_unchanged
from storage.errors import DataError
from storage.outputs.tuning import Tuning, read_tuning
from storage.paths import tuning_path
from storage.split.cells import SplitCells, open_cells


@stage_main
def main(split: str) -> None:
    """Train every head of a train split."""
    params = read_params()
    check_known("train split", split, params.train_splits)
    cells = open_cells(split, asked_of_cells(params.extract, train_cells(split, params.models)))
    tunings = {name: read_tuning(tuning_path(split, name)) for name in OBJECTIVES}
    # One after the other, so that no more than the tokens of one set are in memory.
    trained = {
        tokens: _train_set(cells, tokens, tunings, params.train.seed) for tokens in params.tokens
    }
    check_unchanged()
    write_heads(split, trained)


def _train_set(cells: SplitCells, tokens: str, tunings: Mapping[str, Tuning], seed: int) -> Heads:
    """Train the heads that read one token set; each with its metadata."""
    split = cells.split
    data = read_head_data(cells, tokens)
    with faults_of(split):
        trained = _train(f"{split} {tokens}", data, tunings, _one_seed(split, tunings), seed)
    about = {"split": split, "tokens": tokens, "seed": str(seed), **data.origin}
    for objective, head in trained.items():
        error = head.validation_mse[-1]
        print(f"{split} {tokens} {objective}: validation error {error:.4f}")
    return {
        objective: (head, about | _metadata(objective, tunings[objective], head))
        for objective, head in trained.items()
    }


def _train(
    what: str, data: HeadData, tunings: Mapping[str, Tuning], split_seed: int, seed: int
) -> dict[str, TrainedHead]:
    plans = {name: tuning.plan for name, tuning in tunings.items()}
    n_epochs = sum(plan.epochs for plan in plans.values())
    with progress(f"train {what}", n_epochs, "epochs") as advance:
        # The images, or videos, that judged the trials validate the heads, too.
        rows = Rows(*split_by_group(data.rows.group, split_seed))
        return train_heads(data.rows, rows, plans, seed=seed, advance=advance)


def _one_seed(split: str, tunings: Mapping[str, Tuning]) -> int:
    seeds = {name: tuning.seed for name, tuning in tunings.items()}
    if len(set(seeds.values())) > 1:
        raise DataError(f"heads of {split} must be tuned under one seed, got {seeds}")
    return next(iter(seeds.values()))


def _metadata(objective: str, tuning: Tuning, head: TrainedHead) -> dict[str, str]:
    return {
        "schema": "1",
        "objective": objective,
        "hidden": str(HIDDEN),
        "hyperparameters": json.dumps(asdict(tuning.plan)),
        "n_trials": str(tuning.n_trials),
        "validation_mse": str(float(head.validation_mse[-1])),
    }


if __name__ == "__main__":
    main()
