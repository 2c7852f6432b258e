"""Correction curves as SVG, for pages without scripts: ``dvc plots show`` and README."""

import io
from typing import Any, Final

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.scoring.measures import TASK_MEASURES
from stages.page.labels import (
    BOUND_COLOUR,
    COLOURS,
    TASK_LABELS,
    correction,
    is_dashed,
    measure_label,
    protocol_heading,
)
from stages.tables.rows import Results, first_train_split
from storage.outputs.results import SplitResults

STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "usam-cache",  # equal results, equal bytes
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def curve_plots(results: Results) -> dict[str, str]:
    """Figures by file: one per split, protocol and task, with heads of the first train split."""
    return {
        f"{split}_{protocol}_{task}.svg": _figure_svg(of_task, str(protocol), str(task), split)
        for split, found in results.items()
        for (protocol, task), of_task in first_curves(found).groupby(
            ["protocol", "task"], sort=False
        )
    }


def first_curves(found: SplitResults) -> pd.DataFrame:
    """Curves of measures without heads, and of heads of the first train split."""
    return found.curves[found.curves["train_split"].isin(["", first_train_split(found)])]


def draw_task(panel: Axes, curves: pd.DataFrame, task: str) -> None:
    """Draw a task's curves over the band between the worst and the oracle's order."""
    lines = {str(name): curve for name, curve in curves.groupby("measure", sort=False)}
    x = lines["oracle"]["corrected_fraction"]
    panel.fill_between(
        x, lines["worst"]["mean_iou"], lines["oracle"]["mean_iou"], color=BOUND_COLOUR, alpha=0.15
    )
    for measure in TASK_MEASURES[task]:
        if measure not in lines:  # there are no heads
            continue
        panel.plot(
            x,
            lines[measure]["mean_iou"],
            color=COLOURS[measure],
            linestyle="--" if is_dashed(measure) else "-",
            linewidth=1.2,
            label=measure_label(measure),
        )
    panel.set_title(TASK_LABELS[task])
    panel.set_xlabel("corrected objects")
    panel.xaxis.set_major_formatter(PercentFormatter(1))
    panel.set_xticks([0, 0.5, 1])


def _figure_svg(curves: pd.DataFrame, protocol: str, task: str, split: str) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        panel = figure.subplots()
        draw_task(panel, curves, task)
        panel.collections[0].set_label("worst to oracle")
        panel.set_title("")
        # Across the whole figure: above the panel alone, it would be cut, or run into the legend.
        figure.suptitle(
            f"{protocol_heading(protocol)}: {TASK_LABELS[task]}, {split}\n"
            f"{correction(protocol, task)}",
            fontsize="medium",
            x=0.01,
            horizontalalignment="left",
        )
        panel.set_xlabel("corrected objects, the most uncertain first")
        panel.set_ylabel("mean IoU")
        panel.legend(
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(1, 1),
            fontsize="small",
            borderaxespad=0,
        )
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
