"""Figure 6 as a table: how well each measure predicts all four corrections."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any, Final

import pandas as pd

from pipeline.heads.kinds import HEAD_KINDS, HeadKind
from pipeline.scoring.measures import MEASURES
from pipeline.vocabulary import TASKS
from stages.tables.rows import METHOD_TOKENS, task_models
from storage.outputs.results import SplitResults


@dataclass(frozen=True)
class RadarLine:
    """A line around the radar: a measure for each task."""

    name: str
    symbol: str
    colour: str
    measures: Mapping[str, str]
    """Measure by task."""
    needs_heads: bool = False
    is_dashed: bool = False


def _of_heads(kind: HeadKind, line: str, symbol: str, *, is_dashed: bool = False) -> RadarLine:
    """A line of the heads' own measure for each task."""
    name = kind.named(line)
    of_task = {task: m.name for m in MEASURES if name in m.radar_lines for task in m.tasks}
    return RadarLine(
        name, symbol + kind.label, kind.colour, of_task, needs_heads=True, is_dashed=is_dashed
    )


RADAR_LINES: Final = (
    *(
        RadarLine(m.name, m.symbol, m.colour, dict.fromkeys(TASKS, m.name))
        for m in MEASURES
        if not m.needs_heads
    ),
    *(
        line
        for kind in HEAD_KINDS
        for line in (
            _of_heads(kind, "gaps", "Δ and 1 − USAM"),
            _of_heads(kind, "gaps_star", "Δ* and 1 − USAM", is_dashed=True),
        )
        # Heads that learn no gap have a point of one task, and no line.
        if set(line.measures) == set(TASKS)
    ),
)
"""Each measure without heads, then for each kind the heads' own measures for the tasks."""


def radar_table(found: SplitResults) -> pd.DataFrame:
    """Relative AUC in percent: a row per line of the radar and train split, a column per task.

    Notes
    -----
    The relative AUC is the area between a measure's curve and the worst one, as a share of the
    area between the oracle's and the worst. A task's own model is that of ``task_models``.
    """
    models = task_models({"": found})
    is_shown = (found.auc["model"] == found.auc["task"].map(models)) & (
        found.auc["tokens"].isin(METHOD_TOKENS)
    )
    relative = found.auc[is_shown].set_index(["train_split", "task", "measure"])["relative"]
    percent = relative.mul(100).to_dict()
    rows = [
        {"measure": line.name, "trained_on": train_split}
        | {task: _value(percent, train_split, task, line) for task in models}
        for train_split in ("", *found.run["heads"])
        for line in RADAR_LINES
        if line.needs_heads == bool(train_split)
    ]
    table = pd.DataFrame(rows)
    # Some measures are not shown where the selected mask is judged.
    return table.dropna(subset=list(models), how="all").reset_index(drop=True)


def _value(percent: Mapping[Any, float], train_split: str, task: str, line: RadarLine) -> float:
    return percent.get((train_split, task, line.measures.get(task)), nan)
