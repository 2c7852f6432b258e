"""Golden trials of SMAC3 on an analytic cost, and real costs of three heads.

The heads learn from the inputs of the golden file of ``train``. A whole search by real costs is not
compared: a cost that differs in its last digit may change all later trials.
"""

import math
import tempfile
from contextlib import chdir
from dataclasses import astuple
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.heads.kinds import Hyperparameters
from pipeline.heads.objectives import TrainingSet
from pipeline.heads.training import validation_cost
from stages.training.data import read_head_data
from stages.training.fit import one_thread_each
from stages.training.search import TUNED, rows_of_trials, run_study
from tests.fixtures.mini import MODELS
from tests.fixtures.signatures import open_train
from tests.golden import train
from tests.golden.golden import Arrays, Golden, off_by

SEED: Final = 3

N_TRIALS: Final = 40
"""Enough trials for the forest of SMAC3 to choose some of them."""

MAX_OBJECTS: Final = (None, 16)
"""Numbers of objects that trials take; None for all."""

PLANS: Final = (
    Hyperparameters(epochs=4, batch_size=16, learning_rate=0.05, momentum=0.5),
    Hyperparameters(epochs=6, batch_size=32, learning_rate=0.01, momentum=0.9),
    Hyperparameters(epochs=6, batch_size=24, learning_rate=0.002, momentum=0.2),
)
OBJECTIVES: Final = ("iou_tiny", "iou_refined", "task_gap")
"""The objective that each plan is tried on."""

COST_RTOL: Final = 1e-3
"""Share of a real cost by which another machine may be off. All other results must be equal."""

FLOAT_RTOL: Final = 1e-12
"""Relative tolerance of a learning rate, which is computed by an exponential."""


def analytic_cost(plan: Hyperparameters) -> float:
    """A bowl over the search space, rounded so that all machines agree."""
    off = (
        (plan.epochs - 37) / 40,
        (plan.batch_size - 90) / 120,
        math.log10(plan.learning_rate) + 1.9,
        plan.momentum - 0.7,
    )
    return round(0.05 + sum(distance**2 for distance in off), 3)


def compute(inputs: Arrays) -> dict[str, np.ndarray]:
    """Trials, rows that trials learn from, and three real costs."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        trials = {"asked/full": _asked()}
        train.write_inputs(inputs or train.GOLDEN.inputs())
        data = read_head_data(open_train("shapes_train", MODELS), TUNED)
    return trials | _rows(data) | {"costs/real": _costs(data)}


def _compare(name: str, golden: np.ndarray, values: np.ndarray) -> str | None:
    rtol = {"costs": COST_RTOL, "asked": FLOAT_RTOL}.get(name.partition("/")[0], 0)
    return off_by(golden, values, rtol * float(np.abs(golden).max()))


def _asked() -> np.ndarray:
    folder = Path("asked")
    trials = run_study(analytic_cost, folder, n_trials=N_TRIALS, seed=SEED, advance=lambda _: None)
    return np.array([astuple(trial.plan) for trial in trials])


def _rows(data: TrainingSet) -> dict[str, np.ndarray]:
    """First input of the rows that train and that validate; it identifies a row."""
    rows_of_side = {}
    for n in MAX_OBJECTS:
        learned, rows = rows_of_trials(data, n, len(MODELS), SEED)
        for side in ("train", "validation"):
            name = f"rows/{'all' if n is None else n}/{side}"
            rows_of_side[name] = learned.inputs[getattr(rows, side), 0]
    return rows_of_side


def _costs(data: TrainingSet) -> np.ndarray:
    learned, rows = rows_of_trials(data, None, len(MODELS), SEED)
    with one_thread_each():
        return np.array(
            [
                validation_cost(learned, rows, objective, plan, seed=SEED)
                for plan, objective in zip(PLANS, OBJECTIVES, strict=True)
            ]
        )


GOLDEN: Final = Golden("tune", dict, compute, _compare)
