"""Stage ``train``: features of a train split in, the heads of each head set out.

Reads   ``params.yaml:train``, ``cache/objects/<split>.zarr``, ``cache/features/<split>``
        (identity), ``heads/<split>/tuning``; ``params.yaml:extract``, to hold the cells to it.
Writes  ``heads/<split>/<protocol>/<kind>/<tokens>.safetensors``, ``heads/<split>/curves.csv``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict

from pipeline.head_sets import KINDS_BY_NAME, HeadKind, HeadSet, head_sets
from pipeline.heads.optimizers import Plan
from pipeline.vocabulary import OBJECTIVES
from stages.executor.cells import cells_to_open, opened
from stages.heads.data import faults_of, origin_of
from stages.heads.fit import FittedHeads, Seeds, fit_sets, heads_to_fit
from stages.heads.trained import KeptHead, write_heads
from stages.shell.asked import asked_of_train
from stages.shell.edge import stage_main
from stages.shell.params import read_params
from stages.shell.place import cache_place
from stages.shell.rules import check_known
from stages.shell.unchanged import check_unchanged
from storage.errors import DataError
from storage.outputs.tuning import Tuning, read_tuning
from storage.paths import tuning_path
from storage.split.cells import SplitCells

Tunings = Mapping[str, Tuning]
"""Choice of hyperparameters by objective."""


@stage_main
def main(split: str) -> None:
    """Train every head of a train split."""
    params = read_params()
    check_known("train split", split, params.train_splits)
    to_open = cells_to_open(split, asked_of_train(params.extract, params.models), cache_place())
    cells = opened(to_open)
    tunings = {name: read_tuning(tuning_path(split, name)) for name in OBJECTIVES}
    seeds = Seeds(heads=params.train.seed, judging=_judging_seed(split, tunings))
    todo = {
        head_set: heads_to_fit(head_set, _plans(head_set, tunings), seeds)
        for head_set in head_sets(params.ablations, kinds=params.heads)
    }
    trained = {}
    with faults_of(split):
        for head_set, fitted in fit_sets(to_open, todo, params.executor):
            trained[head_set] = _told(cells, head_set, fitted, tunings, params.train.seed)
    check_unchanged()
    write_heads(cells, trained)


def _plans(head_set: HeadSet, tunings: Tunings) -> dict[str, Plan]:
    plan = KINDS_BY_NAME[head_set.kind].plan
    return {name: plan or tunings[name].plan for name in head_set.objectives}


def _told(
    cells: SplitCells, head_set: HeadSet, fitted: FittedHeads, tunings: Tunings, seed: int
) -> list[KeptHead]:
    """The heads of a set with their metadata; says how they validate."""
    split, kind = cells.split, KINDS_BY_NAME[head_set.kind]
    about = {"split": split, **asdict(head_set), "seed": str(seed), **origin_of(cells)}
    heads = []
    for objective, validated in fitted.validated.items():
        error = float(validated.validation_mse[-1])
        metadata = about | _metadata(kind, objective, tunings[objective], error)
        heads.append(KeptHead(objective, fitted.kept[objective].weights, metadata, validated))
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
        # Neither differs any more, but without them the same head would have other bytes.
        "loss": "squared_error",
        "n_members": "1",
        "hyperparameters": json.dumps(asdict(kind.plan or tuning.plan)),
        "n_trials": str(0 if kind.plan else tuning.n_trials),
        "validation_mse": str(mse),
    }


if __name__ == "__main__":
    main()
