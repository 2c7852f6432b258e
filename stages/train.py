"""Stage ``train``: features of a train split in, the heads of each head set out.

Reads   ``params.yaml:train``, ``cache/objects/<split>.zarr``, ``cache/features/<split>``
        (identity), ``heads/<split>/tuning``; ``params.yaml:extract``, to hold the cells to it.
Writes  ``heads/<split>/<protocol>/<kind>/<tokens>.safetensors``, ``heads/<split>/curves.csv``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict

from pipeline.head_sets import KINDS_BY_NAME, HeadKind, HeadSet, head_sets
from pipeline.heads.laplace import posteriors
from pipeline.vocabulary import OBJECTIVES
from stages.heads.data import faults_of, read_head_data
from stages.heads.fit import Seeds, fit_heads
from stages.heads.trained import KeptHead, write_heads
from stages.shell.asked import asked_of_train
from stages.shell.edge import stage_main
from stages.shell.params import read_params
from stages.shell.place import cache_place
from stages.shell.progress import progress
from stages.shell.rules import check_known
from stages.shell.unchanged import check_unchanged
from storage.errors import DataError
from storage.outputs.tuning import Tuning, read_tuning
from storage.paths import tuning_path
from storage.split.cells import SplitCells, open_cells

Tunings = Mapping[str, Tuning]
"""Choice of hyperparameters by objective."""


@stage_main
def main(split: str) -> None:
    """Train every head of a train split."""
    params = read_params()
    check_known("train split", split, params.train_splits)
    cells = open_cells(split, asked_of_train(params.extract, params.models), cache=cache_place())
    tunings = {name: read_tuning(tuning_path(split, name)) for name in OBJECTIVES}
    # One after the other, so that only the tokens of one set are in memory.
    trained = {
        head_set: _train_set(cells, head_set, tunings, params.train.seed)
        for head_set in head_sets(params.ablations, kinds=params.heads)
    }
    check_unchanged()
    write_heads(cells, trained)


def _train_set(cells: SplitCells, head_set: HeadSet, tunings: Tunings, seed: int) -> list[KeptHead]:
    """Train the heads of a head set."""
    split, kind = cells.split, KINDS_BY_NAME[head_set.kind]
    data = read_head_data(cells, head_set)
    plans = {name: kind.plan or tunings[name].plan for name in head_set.objectives}
    seeds = Seeds(heads=seed, judging=_judging_seed(split, tunings))
    n_epochs = 2 * sum(plan.epochs for plan in plans.values())
    with faults_of(split):
        with progress(f"train {split} {head_set}", n_epochs, "epochs") as advance:
            fitted = fit_heads(data.rows, plans, kind, seeds, advance)
        learned = {name: head.weights for name, head in fitted.kept.items()}
        found = posteriors(learned, data.rows) if kind.has_posterior else {}
    about = {"split": split, **asdict(head_set), "seed": str(seed), **data.origin}
    heads = []
    for objective, validated in fitted.validated.items():
        error = float(validated.validation_mse[-1])
        metadata = about | _metadata(kind, objective, tunings[objective], error)
        weights = {**learned[objective], **found.get(objective, {})}
        heads.append(KeptHead(objective, weights, metadata, validated))
        print(f"{split} {head_set} {objective}: validation error {error:.4f}")
    return heads


def _judging_seed(split: str, tunings: Tunings) -> int:
    seeds = {name: tuning.seed for name, tuning in tunings.items()}
    if len(set(seeds.values())) > 1:
        raise DataError(f"heads of {split} must be tuned under one seed, got {seeds}")
    return next(iter(seeds.values()))


def _metadata(kind: HeadKind, objective: str, tuning: Tuning, mse: float) -> dict[str, str]:
    return {
        "schema": "1",
        "objective": objective,
        "inputs": " ".join(kind.inputs),
        "hidden": str(kind.hidden),
        "loss": kind.loss,
        "n_members": str(kind.n_members),
        "hyperparameters": json.dumps(asdict(kind.plan or tuning.plan)),
        "n_trials": str(0 if kind.plan else tuning.n_trials),
        "validation_mse": str(mse),
    }


if __name__ == "__main__":
    main()
