"""Figures that need no network; Figure 5: the correction curves."""

from collections.abc import Iterator
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
from plotly.io import to_html

from pipeline.scoring.measures import TASK_MEASURES
from stages.page.labels import COLOURS, is_dashed, measure_label
from stages.tables.rows import measure_name

CONFIG: Final = {"responsive": True, "displayModeBar": False}

HOVER: Final = "%{fullData.name}<br>%{x:.0%} corrected: mean IoU %{y:.4f}<extra></extra>"

BAND_COLOUR: Final = "rgba(139,148,158,0.12)"
"""Between the worst and the oracle: where every curve lies."""

FAINT: Final = 0.45
"""Opacity for heads of all train splits but the first."""


def task_figure(curves: pd.DataFrame, task: str, train_splits: list[str], div_id: str) -> str:
    """Curves of one task as a ``div`` with its script; the page must load plotly.js first.

    Parameters
    ----------
    curves
        Curves of one split, as in ``curves.csv``.
    train_splits
        Train splits of the heads, in the order of the params.
    """
    of_task = curves[curves["task"] == task]
    lines = [*_bound_lines(of_task), *_measure_lines(of_task, task, train_splits)]
    return as_div(go.Figure(lines, layout=_layout()), div_id)


def as_div(figure: go.Figure, div_id: str) -> str:
    """A figure as a ``div`` with its script; the page must load plotly.js first."""
    html = to_html(figure, config=CONFIG, include_plotlyjs=False, full_html=False, div_id=div_id)
    return str(html)


def bare_layout() -> go.Layout:
    """A layout that leaves colours to the page's style sheet, for light and dark."""
    return go.Layout(
        template="none",
        autosize=True,
        showlegend=False,
        hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12},
        margin={"l": 8, "r": 24, "t": 8, "b": 8},
        dragmode=False,
    )


def _bound_lines(curves: pd.DataFrame) -> Iterator[go.Scatter]:
    for bound in ("worst", "oracle", "random"):
        curve = curves[curves["measure"] == bound]
        style = {
            "width": 1.5,
            "color": COLOURS[bound],
            "dash": "dot" if bound == "random" else "solid",
        }
        # The oracle fills down to the worst, which is the trace before it.
        fill = {"fill": "tonexty", "fillcolor": BAND_COLOUR} if bound == "oracle" else {}
        yield _line(curve, bound, style, **fill)


def _measure_lines(
    curves: pd.DataFrame, task: str, train_splits: list[str]
) -> Iterator[go.Scatter]:
    first = next(iter(train_splits), "")
    for train_split in ("", *train_splits):
        for measure in TASK_MEASURES[task]:
            is_shown = (curves["measure"] == measure) & (curves["train_split"] == train_split)
            if not is_shown.any():
                continue
            style = {"width": 2.5 if train_split else 1.8, "color": COLOURS[measure]}
            style["dash"] = "dash" if is_dashed(measure) else "solid"
            name = measure_label(measure_name(measure, train_split, first))
            opacity = 1 if train_split in {"", first} else FAINT
            yield _line(curves[is_shown], name, style, opacity=opacity)


def _line(curve: pd.DataFrame, name: str, style: dict[str, Any], **more: Any) -> go.Scatter:  # noqa: ANN401
    return go.Scatter(
        x=curve["corrected_fraction"].tolist(),
        y=curve["mean_iou"].tolist(),
        name=name,
        mode="lines",
        line=style,
        hovertemplate=HOVER,
        **more,
    )


def _layout() -> go.Layout:
    axis = {"showline": False, "zeroline": False, "ticks": "", "automargin": True}
    layout = bare_layout()
    layout.xaxis = {
        **axis,
        "title": "corrected objects",
        "tickformat": ".0%",
        "tickvals": [0, 0.25, 0.5, 0.75, 1],
        "range": [0, 1],
    }
    layout.yaxis = {**axis, "title": "mean IoU"}
    return layout
