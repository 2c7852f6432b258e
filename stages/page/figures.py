"""Draws the results: correction curves, the radar, reliability."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from pipeline.scoring.measures import HEAD_MEASURES
from pipeline.scoring.people import FOLLOWED
from pipeline.scoring.tasks import shown_model
from pipeline.vocabulary import TASKS
from stages.page import labels
from stages.page.svg import LINE, MUTED, RULES, TEXT
from stages.page.verdict import OF_LINES
from stages.tables.report_table import first_train_split, measure_name
from stages.tables.special_tables import RADAR_LINES
from storage.outputs.results import SplitResults

WIDTH_PT: Final = 380
"""Width of a figure: half of the page on a desk and nearly all of a phone, both legible."""

PANEL_PT: Final = 250
"""Height of a figure without its legend."""

LEGEND_ROW_PT: Final = 15

HALF_WIDTH: Final = 26
"""Largest number of letters of a name that fits into half the width of a legend."""

FAINT: Final = 0.45
"""Opacity of the curves of heads from any train split but the first."""

BAND_OPACITY: Final = 0.13
"""Opacity of the area between the curves of the worst order and of the oracle."""

TOLERANCE_PT: Final = 0.2
"""Largest distance of a simplified curve from its points: less than a pixel on a desk."""

MARKED: Final[Mapping[str, Any]] = {"marker": "o", "markersize": 2.5}

UNNAMED: Final = ("worst to oracle", "random")
"""Lines without an entry in the legend: the caption of the figure explains them."""

BOLD: Final = {*HEAD_MEASURES, *(line.name for line in RADAR_LINES)}


def curves_figure(curves: pd.DataFrame, task: str, measures: Sequence[str]) -> Figure:
    """Draw the mean IoU by the share of corrected objects, as in the paper's Figure 5.

    ``curves`` are those of one split and protocol, as in ``curves.csv``, with the orders
    ``random``, ``worst`` and ``oracle``. ``measures`` names the measures to draw, with heads of
    every train split; a measure without a curve is left out.
    """
    figure, panel = _panel("corrected objects, the most uncertain first", "mean IoU")
    _draw_orders(panel, curves[curves["task"] == task], measures)
    return _with_legend(figure, panel)


def opening_figure(curves: pd.DataFrame) -> Figure:
    """Draw the correction curves of the measures in ``OF_LINES``, with a panel per task.

    ``curves`` are those of one split, protocol and train split, as in ``curves.csv``.
    """
    tasks = [task for task in TASKS if task in set(curves["task"])]
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    (panels,) = figure.subplots(1, len(tasks), squeeze=False)
    for panel, task in zip(panels, tasks, strict=True):
        _style_panel(panel)
        _draw_orders(panel, curves[curves["task"] == task], OF_LINES[task])
        panel.set_title(labels.TASK_LABELS[task], color=TEXT)
        panel.set_xticks([0, 0.5, 1])
        panel.set_xlabel("corrected objects", color=MUTED)
        handles, names = panel.get_legend_handles_labels()
        shown = [i for i, name in enumerate(names) if name not in UNNAMED]
        panel.legend(
            [handles[i] for i in shown],
            [names[i] for i in shown],
            frameon=False,
            labelcolor=TEXT,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.18),
        )
    panels[0].set_ylabel("mean IoU", color=MUTED)
    return figure


def radar_figure(table: pd.DataFrame) -> Figure:
    """Draw each row of ``radar_table`` as a closed line around the radar, with an axis per task.

    The axes show the relative AUC in percent: 0 is the worst order, 100 the order of the oracle.
    """
    tasks = [task for task in TASKS if task in table]
    angles = np.linspace(0, 2 * np.pi, len(tasks), endpoint=False)
    figure = Figure(layout="constrained")
    panel = figure.add_subplot(projection="polar")
    # Tasks run clockwise from the right: the longest name is then at the top and takes no width.
    panel.set(theta_direction=-1, ylim=(0, 100))
    panel.set_xticks(angles, [labels.TASK_LABELS[task] for task in tasks], color=TEXT)
    panel.set_yticks([25, 50, 75, 100], [""] * 4)
    # The numbers stand between two axes: 50 is inside of most lines, 100 outside of all lines.
    panel.text(-np.pi / 18, 49, "50", ha="right", va="center", color=MUTED)
    panel.text(-np.pi / 4, 103, "100", color=MUTED)
    panel.grid(color=RULES)
    panel.patch.set_visible(False)
    panel.spines["polar"].set_color(RULES)
    first = next(filter(None, table["trained_on"]), "")
    for row in table.to_dict("records"):
        name = measure_name(row["measure"], row["trained_on"], first)
        # The line ends at the first axis, so that it is closed.
        values = [row[task] for task in [*tasks, tasks[0]]]
        _draw(panel, name, [*angles, angles[0]], values, **MARKED)
    return _with_legend(figure, panel)


def reliability_figure(results: SplitResults) -> Figure:
    """Draw the mean true IoU by the mean predicted IoU of the largest model's masks, in bins.

    Each measure that predicts an IoU has a curve for each train split: a point for each bin of
    masks with similar predictions, and a vertical line for the interval of its true IoU. A dotted
    line shows where both IoUs are equal. ``results`` are those of one protocol.
    """
    bins = results.reliability
    bins = bins[bins["model"] == shown_model(list(bins["model"].unique()))]
    figure, panel = _panel("predicted IoU", "true IoU")
    panel.plot([0, 1], [0, 1], ":", color=labels.BOUND_COLOUR, linewidth=1.2, gid=f"{LINE}equal")
    symbols = labels.PREDICTED_IOU_LABELS
    for name, rows in curves_of(bins, tuple(bins["measure"].unique())):
        predicted, ends = rows["predicted_iou"], (rows["iou_low"], rows["iou_high"])
        line = _draw(panel, name, predicted, rows["iou"], symbols=symbols, **MARKED)
        colour, opacity = line.get_color(), line.get_alpha()
        panel.vlines(predicted, *ends, colour, linewidth=0.7, alpha=opacity)
    return _with_legend(figure, panel)


def people_figure(results: SplitResults) -> Figure:
    """Draw how far measures follow people's disagreement: correlations, with their intervals.

    Each measure of ``FOLLOWED`` has a row of points, of the smallest model on top.
    """
    scores, first = results.scores, first_train_split(results)
    scores = scores[(scores["statistic"] == "people_rank") & scores["seed"].isna()]
    scores = scores[scores["train_split"].isin(["", first])].set_index("measure")
    measures = [name for name in FOLLOWED if name in scores.index]
    figure, panel = _panel("Spearman’s ρ with disagreement", "")
    for place, measure in enumerate(measures):
        rows = scores.loc[[measure]]
        y = place + np.linspace(-0.25, 0.25, len(rows))
        label, colour = labels.measure_label(measure), labels.COLOURS[measure]
        panel.hlines(y, rows["low"], rows["high"], colour, linewidth=1)
        panel.plot(rows["value"], y, "o", color=colour, markersize=3, gid=LINE + label)
    panel.axvline(0, color=labels.BOUND_COLOUR, linewidth=1)
    panel.set_yticks(range(len(measures)), [labels.measure_label(name) for name in measures])
    panel.invert_yaxis()
    figure.set_size_inches(WIDTH_PT / 72, PANEL_PT / 72)
    return figure


def first_curves(results: SplitResults) -> pd.DataFrame:
    """Select the curves of measures without heads, and of heads of the first train split."""
    return results.curves[results.curves["train_split"].isin(["", first_train_split(results)])]


def curves_of(table: pd.DataFrame, measures: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the ``measure_name`` and the rows of each train split and measure, in this order.

    A measure that has no rows for a train split is left out.
    """
    splits = list(table["train_split"].unique())
    first = next(filter(None, splits), "")
    for train_split in splits:
        for measure in measures:
            rows = table[(table["measure"] == measure) & (table["train_split"] == train_split)]
            if len(rows):
                yield measure_name(measure, train_split, first), rows


def _panel(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(layout="constrained")
    panel = figure.subplots()
    _style_panel(panel)
    panel.set_xlabel(x, color=MUTED)
    panel.set_ylabel(y, color=MUTED)
    return figure, panel


def _style_panel(panel: Axes) -> None:
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0, labelcolor=MUTED)
    panel.grid(color=RULES, linewidth=0.6)
    panel.margins(0.02)


def _draw_orders(panel: Axes, table: pd.DataFrame, measures: Sequence[str]) -> None:
    """Draw a curve for each measure and train split, and the curve of the random order.

    Behind them lies a band from the worst order to the oracle. The table has the rows of these
    three orders as the measures ``random``, ``worst`` and ``oracle``.
    """
    worst, oracle = (table[table["measure"] == name] for name in ("worst", "oracle"))
    panel.fill_between(
        oracle["corrected_fraction"],
        worst["mean_iou"],
        oracle["mean_iou"],
        facecolor=(labels.BOUND_COLOUR, BAND_OPACITY),
        edgecolor=labels.BOUND_COLOUR,
        label="worst to oracle",
        gid=f"{LINE}worst to oracle",
    )
    for name, rows in curves_of(table, ("random", *measures)):
        _draw(panel, name, rows["corrected_fraction"], rows["mean_iou"])
    panel.xaxis.set_major_formatter(PercentFormatter(1))
    panel.set_xticks([0, 0.25, 0.5, 0.75, 1])


def _draw(
    panel: Axes,
    name: str,
    x: ArrayLike,
    y: ArrayLike,
    *,
    symbols: Mapping[str, str] = labels.SYMBOLS,
    **style: Any,  # noqa: ANN401 - of matplotlib
) -> Line2D:
    """Draw the curve of a measure, or a line of the radar.

    Parameters
    ----------
    name
        ``measure_name`` of the measure, or name of the line. It decides the colour, dashes, width
        and opacity: heads of any train split but the first are faint.
    symbols
        Label in the legend, by measure without a train split.
    style
        Other properties of the line, such as its marker.
    """
    measure, _, other_heads = name.partition("@")
    label = labels.measure_label(name, symbols)
    dashes = "--" if measure in labels.DASHED else "-"
    (line,) = panel.plot(
        x,
        y,
        color=labels.COLOURS[measure],
        linestyle=":" if measure == "random" else dashes,
        linewidth=2 if measure in BOLD else 1.2,
        alpha=FAINT if other_heads else 1,
        label=label,
        gid=LINE + label,
        clip_on=False,
        **style,
    )
    # By default, matplotlib does not simplify paths of fewer than 128 points.
    line.get_path().should_simplify, line.get_path().simplify_threshold = True, TOLERANCE_PT
    return line


def _with_legend(figure: Figure, panel: Axes) -> Figure:
    """Add a legend beneath the panel, and set the size of the figure.

    Names are in the order of the curves' mean heights, the highest first.
    """
    handles, names = panel.get_legend_handles_labels()
    heights = {id(line): np.nanmean(np.asarray(line.get_ydata(), float)) for line in panel.lines}
    ordered = sorted(
        zip(handles, names, strict=True), key=lambda entry: -heights.get(id(entry[0]), np.inf)
    )
    n_columns = 1 if max(map(len, names)) > HALF_WIDTH else 2
    figure.legend(
        *zip(*ordered, strict=True),
        loc="outside lower left",
        ncols=n_columns,
        frameon=False,
        labelcolor=TEXT,
        handlelength=2.4,
        borderpad=0.4,
    )
    height_pt = PANEL_PT + LEGEND_ROW_PT * ceil(len(names) / n_columns)
    figure.set_size_inches(WIDTH_PT / 72, height_pt / 72)
    return figure
