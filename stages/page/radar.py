"""Figure 6: how well each measure foresees all four corrections, as areas in a radar."""

from collections.abc import Iterator, Mapping
from math import nan
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from pipeline.scoring.tasks import TASKS
from stages.page.figures import FAINT, as_div, bare_layout
from stages.page.labels import COLOURS, TASK_LABELS, is_dashed, measure_label
from stages.tables.rows import METHOD_TOKENS, measure_name, task_models
from storage.outputs.results import SplitResults

RADAR_LINES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        **{name: dict.fromkeys(TASKS, name) for name in ("sam_score", "h_std", "h_y")},
        **{name: dict.fromkeys(TASKS, name) for name in ("h_theta", "h_xp", "h_a", "h_t")},
        "gaps": dict(zip(TASKS, ("delta_theta", "delta_xp", "delta_a", "usam"), strict=True)),
        "gaps_star": dict(
            zip(TASKS, ("delta_theta_star", "delta_xp_star", "delta_a_star", "usam"), strict=True)
        ),
    }
)
"""Measure of each task, by line: one measure for all, or the heads' own for each."""

HOVER: Final = "%{fullData.name}<br>%{theta}: %{r:.1f} %<extra></extra>"


def radar_table(found: SplitResults) -> pd.DataFrame:
    """Relative AUC in percent: a row a line of the radar and train split, a column a task.

    Notes
    -----
    The relative AUC is the area that a measure's curve encloses with the worst one, as a share
    of what the oracle's encloses. A task's own model is that of ``task_models``.
    """
    models = task_models({"": found})
    is_shown = (found.auc["model"] == found.auc["task"].map(models)) & (
        found.auc["tokens"].isin(METHOD_TOKENS)
    )
    relative = found.auc[is_shown].set_index(["train_split", "task", "measure"])["relative"]
    percent = relative.mul(100).to_dict()
    rows = [
        {"measure": line, "trained_on": train_split}
        | {task: _value(percent, train_split, task, of_task[task]) for task in models}
        for train_split in ("", *found.run["heads"])
        for line, of_task in RADAR_LINES.items()
        if line.startswith("gaps") == bool(train_split)
    ]
    return pd.DataFrame(rows)


def radar_figure(table: pd.DataFrame, train_splits: list[str], div_id: str) -> str:
    """Lines of ``radar_table`` as a ``div``: an axis a task, 0 the worst order, 100 the oracle."""
    first = next(iter(train_splits), "")
    figure = go.Figure(list(_lines(table, first)), layout=_layout())
    return as_div(figure, div_id)


def _value(percent: Mapping[Any, float], train_split: str, task: str, measure: str) -> float:
    return percent.get((train_split, task, measure), nan)


def _lines(table: pd.DataFrame, first: str) -> Iterator[go.Scatterpolar]:
    tasks = [task for task in TASKS if task in table]
    for row in table.to_dict("records"):
        line, train_split = row["measure"], row["trained_on"]
        # Back to the first axis, to enclose an area.
        around = [*tasks, tasks[0]]
        yield go.Scatterpolar(
            r=[row[task] for task in around],
            theta=[TASK_LABELS[task] for task in around],
            name=measure_label(measure_name(line, train_split, first)),
            mode="lines+markers",
            marker={"size": 4},
            line={
                "width": 2.5 if train_split else 1.8,
                "color": COLOURS[line],
                "dash": "dash" if is_dashed(line) else "solid",
            },
            opacity=1 if train_split in {"", first} else FAINT,
            hovertemplate=HOVER,
        )


def _layout() -> go.Layout:
    layout = bare_layout()
    layout.polar = {
        "bgcolor": "rgba(0,0,0,0)",
        # Between two axes, where the lines leave room for its numbers.
        "radialaxis": {
            "angle": 45,
            "tickangle": 45,
            "range": [0, 100],
            "tickvals": [25, 50, 75, 100],
            "ticktext": ["", "50", "", "100"],
            "ticks": "",
            "showline": False,
        },
        # The longest name at the top, where it takes no width.
        "angularaxis": {"direction": "clockwise", "rotation": 0, "ticks": ""},
    }
    layout.margin = {"l": 48, "r": 56, "t": 32, "b": 32}
    return layout
