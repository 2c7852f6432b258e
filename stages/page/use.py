"""Figures of how useful measures are: risk and coverage, reliability, routing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from pipeline.scoring.curves import BOUNDS
from pipeline.scoring.measures import BY_NAME, TASK_MEASURES
from pipeline.scoring.use import ROUTED, default_in_use
from stages.page.figures import FAINT, as_div, bare_layout
from stages.page.labels import BOUND_COLOUR, COLOURS, is_dashed, measure_label
from stages.tables.rows import measure_name
from stages.tables.use import ALONE, seconds_with
from storage.outputs.results import SplitResults

MASKS_OF: Final = "segmentation"
"""Task whose measures are shown where the masks themselves are asked about."""

AXIS: Final = {"showline": False, "zeroline": False, "ticks": "", "automargin": True}


@dataclass(frozen=True)
class Columns:
    """Columns that a figure shows, and its words for them."""

    x: str
    y: str
    hover: str
    """Hover text, as a template of plotly."""


COVERAGE: Final = Columns("coverage", "selective_risk", "%{x:.0%} kept: mean risk %{y:.4f}")

RELIABILITY: Final = Columns("predicted_iou", "iou", "predicted IoU %{x:.3f}: true IoU %{y:.3f}")

ROUTING: Final = Columns("seconds", "mean_iou", "%{x:.3g} s a click: mean IoU %{y:.4f}")


def coverage_figure(found: SplitResults, div_id: str) -> str:
    """Risk of the kept masks by their share, for the bounds and every measure of the masks."""
    measures = (*BOUNDS, *TASK_MEASURES[MASKS_OF])
    lines = [_line(curve, COVERAGE) for curve in _curves(found.coverage, measures)]
    figure = go.Figure(lines, _layout("kept masks", "mean risk of the kept masks"))
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    return as_div(figure, div_id)


def reliability_figure(found: SplitResults, div_id: str) -> str:
    """True by predicted IoU of the largest model, in bins; grey where both are equal."""
    rows = found.reliability
    rows = rows[rows["model"] == default_in_use(tuple(rows["model"].unique()))]
    style = {"color": BOUND_COLOUR, "width": 1.5, "dash": "dot"}
    equal = go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=style, hoverinfo="skip")
    lines = [
        _line(bins, RELIABILITY, mode="lines+markers", error_y=_error_bars(bins.rows))
        for bins in _curves(rows, tuple(rows["measure"].unique()))
    ]
    return as_div(go.Figure([equal, *lines], _layout("predicted IoU", "true IoU")), div_id)


def routing_figure(found: SplitResults, timed: pd.DataFrame, div_id: str) -> str:
    """Mean IoU by mean seconds per click, from no click sent on to all.

    Measures that nothing times have no curve; without the tiny or the large model, there is no
    figure, but an empty string.
    """
    small, _ = ROUTED
    own = found.curves[(found.curves["task"] == "model") & (found.curves["model"] == small)]
    lines = []
    for curve in _curves(own, TASK_MEASURES["model"]):
        seconds = seconds_with(timed, curve.measure)
        if seconds:
            taken = seconds.at(curve.rows["corrected_fraction"].to_numpy())
            told = replace(curve, rows=curve.rows.assign(seconds=taken))
            lines.append(_line(told, ROUTING))
    if not lines:
        return ""
    oracle = own[own["measure"] == "oracle"]["mean_iou"].iloc[[0, -1]]
    alone = [_alone(timed, model, iou) for model, iou in zip(ROUTED, oracle.tolist(), strict=True)]
    return as_div(go.Figure([*lines, *alone], _layout("seconds a click", "mean IoU")), div_id)


@dataclass(frozen=True)
class _Curve:
    """Rows of a measure under one train split."""

    measure: str
    name: str
    """In words."""
    is_faint: bool
    """Whether its heads are not those of the first train split."""
    rows: pd.DataFrame


def _curves(table: pd.DataFrame, measures: tuple[str, ...]) -> Iterator[_Curve]:
    splits = list(table["train_split"].unique())
    first = next((split for split in splits if split), "")
    for train_split in splits:
        for measure in measures:
            rows = table[(table["measure"] == measure) & (table["train_split"] == train_split)]
            name = measure_label(measure_name(measure, train_split, first))
            if len(rows):
                yield _Curve(measure, name, train_split not in {"", first}, rows)


def _line(curve: _Curve, columns: Columns, **more: Any) -> go.Scatter:  # noqa: ANN401
    dash = "dash" if is_dashed(curve.measure) else "solid"
    style = {
        "color": COLOURS[curve.measure],
        "dash": "dot" if curve.measure == "random" else dash,
        "width": 2.5 if curve.measure in BY_NAME and BY_NAME[curve.measure].needs_heads else 1.8,
    }
    drawn = {
        "x": curve.rows[columns.x].tolist(),
        "y": curve.rows[columns.y].tolist(),
        "mode": "lines",
        "line": style,
        "name": curve.name,
        "opacity": FAINT if curve.is_faint else 1,
        "hovertemplate": f"%{{fullData.name}}<br>{columns.hover}<extra></extra>",
    }
    return go.Scatter(**drawn | more)


def _error_bars(bins: pd.DataFrame) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": (bins["iou_high"] - bins["iou"]).tolist(),
        "arrayminus": (bins["iou"] - bins["iou_low"]).tolist(),
        "thickness": 1,
        "width": 2,
    }


def _alone(timed: pd.DataFrame, model: str, iou: float) -> go.Scatter:
    """Point of a model that answers every click itself."""
    seconds = timed[(timed["model"] == model) & (timed["method"] == ALONE)]["seconds"]
    return go.Scatter(
        x=seconds.tolist(),
        y=[iou],
        name=f"{model} alone",
        mode="markers+text",
        text=[f"{model} alone"],
        textposition="top center",
        marker={"color": BOUND_COLOUR, "size": 9},
        cliponaxis=False,
        hovertemplate=f"%{{fullData.name}}<br>{ROUTING.hover}<extra></extra>",
    )


def _layout(x: str, y: str) -> go.Layout:
    layout = bare_layout()
    layout.xaxis = {**AXIS, "title": x}
    layout.yaxis = {**AXIS, "title": y}
    return layout
