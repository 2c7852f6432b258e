"""The value of choosing a correction by its predicted gain, as a table."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

import numpy as np
import pandas as pd

from pipeline.decisions import Decisions, Mean, choose
from pipeline.heads.kinds import HEAD_KINDS
from pipeline.scoring.bootstrap import resample_groups
from pipeline.scoring.tasks import REFINED
from stages.tables import report_table
from storage.outputs.results import SplitResults

COSTS: Final = (0.02, 0.05, 0.08, 0.12)
"""What a correction may cost, in IoU."""

FIXED: Final = {"keep": "keep always", "prompt": "always click again", "model": "always {largest}"}
"""Choices made for all objects alike."""

GAIN_MEASURES: Final = {"prompt": "delta_xp_star", "model": "delta_theta_star"}
"""Measures that predict what a correction gains, as heads learned it."""

OF_OBJECTS: Final = (
    *("judged", "model", "group", "sam_score", "iou"),
    *(f"{name}_iou" for name in REFINED.values()),
    *(kind.named(measure) for kind in HEAD_KINDS for measure in GAIN_MEASURES.values()),
)
"""Columns that the table reads of the table of objects."""


def decision_table(results: report_table.Results) -> pd.DataFrame:
    """Regret of each way to choose, in percentage points of IoU, at each cost of a correction.

    Parameters
    ----------
    results
        Results of one protocol.

    Returns
    -------
    ``<split>_difference`` is how far it lies above the best fixed choice.
    """
    table = pd.DataFrame(row for split, found in results.items() for row in _rows(split, found))
    return report_table.a_column_a_split(table, ["choice", "cost"], "regret", difference="margin")


def _rows(split: str, found: SplitResults) -> Iterator[dict[str, object]]:
    models, by_model = list(found.run["models"]), report_table.own_objects(found)
    own, largest = by_model[models[0]], by_model[models[-1]]
    gains = _gains(own, largest)
    predicted = _predicted(found, own, list(gains))
    resamples = resample_groups(own["group"].to_numpy(), found.run["n_resamples"], seed=0)
    for cost in COSTS:
        costs = np.array([0.0 if name == "keep" else cost for name in gains])
        decisions = Decisions(np.stack(list(gains.values()), axis=1) - costs)
        ways = {
            FIXED[name].format(largest=models[-1]): decisions.net[:, i]
            for i, name in enumerate(gains)
        }
        ways["by SamScore"] = decisions.by_score(own["sam_score"].to_numpy())
        for name, expected in predicted.items():
            ways[name] = decisions.chosen(choose(expected, costs))
        for name, worth in decisions.worth(ways, resamples).items():
            yield {"split": split, "choice": name, "cost": f"{cost:g}", **_numbers(worth)}


def _gains(own: pd.DataFrame, largest: pd.DataFrame) -> dict[str, np.ndarray]:
    """What each choice gains: it may be the largest model where that is another."""
    protocol = own["protocol"].iloc[0]
    corrected = {"keep": own["iou"], "prompt": own[f"{REFINED[protocol]}_iou"]}
    if largest is not own:
        corrected["model"] = largest["iou"]
    return {name: (iou - own["iou"]).to_numpy() for name, iou in corrected.items()}


def _predicted(found: SplitResults, own: pd.DataFrame, choices: list[str]) -> dict[str, np.ndarray]:
    """What heads expect each choice to gain, by kind and train split; the first is to keep."""
    first = report_table.first_train_split(found)
    predicted = {}
    for train_split, kind in product(found.run["heads"], HEAD_KINDS):
        gains = [f"{kind.named(GAIN_MEASURES[name])}@{train_split}" for name in choices[1:]]
        if gains[0] in own:  # trained
            label = report_table.measure_name(f"by Δ*{kind.label}", train_split, first)
            # Keeping gains nothing.
            predicted[label] = np.column_stack([np.zeros(len(own)), own[gains]])
    return predicted


def _numbers(worth: Mapping[str, Mean]) -> dict[str, float]:
    return {
        name + end: value
        for name, mean in worth.items()
        for end, value in zip(
            report_table.WITH_BOUNDS,
            (mean.value, mean.interval.low, mean.interval.high),
            strict=True,
        )
    }
