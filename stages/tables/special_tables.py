"""Tables of the report that no ``Pivot`` can make, and the metrics that DVC shows.

The tables are: radar, correlations, curves, and how often each model is best.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import nan
from typing import Final

import numpy as np
import pandas as pd

from pipeline.heads.kinds import HEAD_KINDS, HeadKind
from pipeline.scoring.measures import (
    BASELINE,
    BOUNDS,
    KNOWS_TRUTH,
    MEASURES,
    TASK_MEASURES,
    UNTRAINED_MEASURES,
)
from pipeline.vocabulary import USED
from stages.tables import report_table
from stages.tables.paper import paper_numbers
from stages.tables.pivot import (
    in_percent,
    is_of_method,
    is_shown,
    score_rows,
)
from storage.outputs.results import SplitResults

N_METRIC_DIGITS: Final = 6

Metrics = dict[str, dict[str, dict[str, float]]]
"""Split -> task -> measure -> relative AUC; split -> ``mean_iou`` -> model -> mean IoU."""


@dataclass(frozen=True)
class RadarLine:
    """A line around the radar: for each task, a measure that heads of one kind predict."""

    name: str
    symbol: str
    colour: str
    measures: Mapping[str, str]
    """Name of the measure for each task."""
    is_dashed: bool


def _of_heads(kind: HeadKind, line: str, symbol: str, *, is_dashed: bool) -> RadarLine:
    name = kind.named(line)
    of_task = {task: m.name for m in MEASURES if name in m.radar_lines for task in m.tasks}
    return RadarLine(name, symbol + kind.label, kind.colour, of_task, is_dashed)


RADAR_LINES: Final = tuple(
    line
    for kind in HEAD_KINDS
    for line in (
        _of_heads(kind, "gaps", "Δ and 1 − USAM", is_dashed=False),
        _of_heads(kind, "gaps_star", "Δ* and 1 − USAM", is_dashed=True),
    )
)
"""Lines of the radar for heads of each kind. Measures without heads need no declared line."""


def radar_table(results: SplitResults) -> pd.DataFrame:
    """Table of the relative AUC in percent, for the radar: a row per line, a column per task.

    A line is a measure without heads, or one of ``RADAR_LINES`` with heads of a train split; its
    name is in the column ``measure``. A line without a number for a task has NaN there; lines
    without any number are left out. ``results`` are those of one split and protocol.

    Notes
    -----
    The relative AUC is the area between a measure's curve and the worst one, as a share of the area
    between the oracle's curve and the worst. Each task shows its model of ``task_models``.
    """
    rows = score_rows({"": results}, ["relative"])
    rows = in_percent(rows[rows["is_default"] & is_of_method(rows)])
    percent = rows.set_index(["trained_on", "task", "measure"])["value"].to_dict()
    tasks = list(report_table.task_models({"": results}))
    untrained = [name for name in UNTRAINED_MEASURES if name not in KNOWS_TRUTH]
    lines = [("", name, dict.fromkeys(tasks, name)) for name in untrained]
    lines += [
        (train_split, line.name, dict(line.measures))
        for train_split, line in product(results.run["heads"], RADAR_LINES)
    ]
    table = pd.DataFrame(
        {"measure": name, "trained_on": train_split}
        | {task: percent.get((train_split, task, measures.get(task)), nan) for task in tasks}
        for train_split, name, measures in lines
    )
    # Some measures have no score where the selected mask is judged.
    return table.dropna(subset=tasks, how="all").reset_index(drop=True)


def correlation_table(results: SplitResults) -> pd.DataFrame:
    """Table of the correlations between all measures of a split, the paper's measures first.

    It has a row per train split, model and measure (``row``), and a column per measure. ``results``
    are those of one split and protocol.
    """
    rows = set(results.correlation["row"])
    names = [name for name in correlation_names() if name in rows]
    blocks = [
        block.set_index("row").loc[names].reset_index()[["train_split", "model", "row", *names]]
        for _, block in results.correlation.groupby(["train_split", "model"], sort=False)
    ]
    return pd.concat(blocks, ignore_index=True)


def correlation_names() -> list[str]:
    """Names of the measures in the paper's Tables 5 and 15 to 17, then of all other measures."""
    of_paper = [str(name) for name in paper_numbers("correlation").columns[2:]]
    return list(dict.fromkeys([*of_paper, *(measure.name for measure in MEASURES)]))


def curve_table(results: report_table.Results, task: str) -> pd.DataFrame:
    """Table of the correction curves of a task: mean IoU, with a column per curve.

    The first column is ``corrected_fraction``. Other columns are named ``<split>:<measure>@<train
    split>``, without the first split and the first train split. ``results`` are those of one
    protocol.
    """
    columns: dict[str, pd.Series[float]] = {}
    for i, (split, split_results) in enumerate(results.items()):
        curves = split_results.curves[split_results.curves["task"] == task]
        curves = curves[curves["measure"].isin((*BOUNDS, *TASK_MEASURES[task]))]
        prefix, first = f"{split}:" if i else "", report_table.first_train_split(split_results)
        for key, curve in curves.groupby(["train_split", "measure"], sort=False):
            train_split, measure = map(str, key)
            points = curve.set_index("corrected_fraction")["mean_iou"]
            columns[prefix + report_table.measure_name(measure, train_split, first)] = points
    return pd.DataFrame(columns).reset_index()


def best_model_table(results: report_table.Results) -> pd.DataFrame:
    """Table of the share of objects on which each model is best, in percent: the paper's Table 9.

    It has a row per model and a column per split; no rows for a single model.

    Notes
    -----
    Models are compared by the mask from one click that the protocol judges. Models that tie for the
    best share an object evenly, so that a column adds up to 100.
    """
    shares = {split: _best_shares(split_results) for split, split_results in results.items()}
    table = pd.DataFrame(shares).mul(100).rename_axis("model").reset_index()
    return table if len(table) > 1 else table.iloc[:0]


def _best_shares(results: SplitResults) -> "pd.Series[float]":
    objects = results.objects[results.objects["judged"] == results.objects["protocol"]]
    # All models have their rows in the same order of objects; object ids may repeat between videos.
    by_model = {
        model: rows.to_numpy() for model, rows in objects.groupby("model", sort=False)["iou"]
    }
    iou = np.stack(list(by_model.values()))
    is_best = iou == iou.max(axis=0)
    return pd.Series((is_best / is_best.sum(axis=0)).mean(axis=1), index=list(by_model))


def metrics(results: report_table.Results) -> Metrics:
    """Numbers that ``dvc metrics show`` prints, as fractions of 1, for the users' protocol.

    The numbers are the mean IoU of each model, and the relative AUC of each correction by 1 -
    SamScore and by the measures of the gallery. Heads come from the first train split alone. A
    relative AUC that is NaN is left out. ``results`` are those of all protocols.
    """
    numbers: Metrics = {}
    for split, split_results in results.items():
        scores = split_results.scores
        is_mean = (scores["statistic"] == "mean_iou") & (scores["view"] == "identity")
        means = scores[is_mean & (scores["proposal"] == USED)].set_index("model")["value"]
        numbers[split] = {"mean_iou": {str(k): _rounded(v) for k, v in means.items()}}
        followed = report_table.of_protocol({split: split_results}, USED)
        rows = score_rows(followed, ["relative"])
        rows = rows[is_shown(rows)].dropna(subset="value")
        first = report_table.first_train_split(split_results)
        rows = rows[rows["trained_on"].isin(["", first])]
        for task in report_table.task_models(followed):
            listed = {
                BASELINE,
                *(measure.name for measure in MEASURES if measure.gallery == task),
            }
            of_task = rows[(rows["task"] == task) & rows["measure"].isin(listed)]
            numbers[split][task] = {
                str(name): _rounded(value)
                for name, value in of_task.set_index("measure")["value"].items()
            }
    return numbers


def _rounded(value: float) -> float:
    return round(float(value), N_METRIC_DIGITS)
