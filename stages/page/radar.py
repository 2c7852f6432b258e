"""Figure 6: how well each measure predicts all four corrections, as areas in a radar."""

from collections.abc import Iterator
from typing import Final

import pandas as pd
import plotly.graph_objects as go

from pipeline.vocabulary import TASKS
from stages.page.figures import FAINT, as_div, bare_layout
from stages.page.labels import COLOURS, TASK_LABELS, is_dashed, measure_label
from stages.tables.rows import measure_name

HOVER: Final = "%{fullData.name}<br>%{theta}: %{r:.1f} %<extra></extra>"


def radar_figure(table: pd.DataFrame, train_splits: list[str], div_id: str) -> str:
    """Lines of ``radar_table`` as a ``div``: an axis per task, 0 the worst order, 100 the best."""
    first = next(iter(train_splits), "")
    figure = go.Figure(list(_lines(table, first)), layout=_layout())
    return as_div(figure, div_id)


def _lines(table: pd.DataFrame, first: str) -> Iterator[go.Scatterpolar]:
    tasks = [task for task in TASKS if task in table]
    for row in table.to_dict("records"):
        line, train_split = row["measure"], row["trained_on"]
        # Back to the first axis, to close the area.
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
        # Between two axes, where the lines leave room for the numbers.
        "radialaxis": {
            "angle": 45,
            "tickangle": 45,
            "range": [0, 100],
            "tickvals": [25, 50, 75, 100],
            "ticktext": ["", "50", "", "100"],
            "ticks": "",
            "showline": False,
        },
        # Puts the longest name at the top, where it takes no width.
        "angularaxis": {"direction": "clockwise", "rotation": 0, "ticks": ""},
    }
    layout.margin = {"l": 48, "r": 56, "t": 32, "b": 32}
    return layout
