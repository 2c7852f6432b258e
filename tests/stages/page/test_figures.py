"""Figures of the results, and as SVG."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.scoring.measures import TASK_MEASURES
from stages.page.figures import (
    curves_figure,
    radar_figure,
    reliability_figure,
)
from stages.page.svg import LINE, svg_file
from stages.tables.report_table import Results
from stages.tables.special_tables import radar_table
from storage.outputs.results import SplitResults
from tests.fixtures.eval_split import SPLITS

SVG = "{http://www.w3.org/2000/svg}"

FIGURES: dict[str, Callable[[SplitResults], Figure | None]] = {
    "curves": lambda found: curves_figure(found.curves, "prompt", TASK_MEASURES["prompt"]),
    "radar": lambda found: radar_figure(radar_table(found)),
    "reliability": reliability_figure,
}


def lines_of(figure: Figure | None) -> dict[str, Line2D]:
    """Lines of a figure that have a name to show, in the order of drawing."""
    assert figure is not None
    (panel,) = figure.axes
    gids = {str(line.get_gid()): line for line in panel.lines}
    return {gid.removeprefix(LINE): line for gid, line in gids.items() if gid.startswith(LINE)}


def x_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xdata(), float)


def y_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), float)


@pytest.mark.parametrize("task", ["task", "prompt"])
def test_correction_curves_are_drawn_over_the_band_of_all_orders(own: Results, task: str) -> None:
    found = own["shapes_val"]
    figure = curves_figure(found.curves, task, TASK_MEASURES[task])
    lines = lines_of(figure)
    of_task = found.curves[found.curves["task"] == task]
    h_std = of_task[of_task["measure"] == "h_std"]
    np.testing.assert_array_equal(y_of(lines["H_Std"]), h_std["mean_iou"])
    (band,) = figure.axes[0].collections
    heights = [of_task[of_task["measure"] == name]["mean_iou"] for name in ("worst", "oracle")]
    np.testing.assert_allclose(
        np.unique(np.asarray(band.get_paths()[0].vertices)[:, 1]),
        np.unique(np.concatenate(heights)),
    )


def test_reliability_is_drawn_with_intervals_beside_the_diagonal(own: Results) -> None:
    found = own[SPLITS[0]]
    figure = reliability_figure(found)
    lines = lines_of(figure)
    equal = lines.pop("equal")
    assert x_of(equal).tolist() == y_of(equal).tolist() == [0, 1]
    rows = found.reliability.query("model == 'large'")
    assert len(lines) == rows.groupby(["train_split", "measure"]).ngroups
    first = rows[rows["measure"] == "sam_score"]
    np.testing.assert_array_equal(x_of(lines["SamScore"]), first["predicted_iou"])
    bars = figure.axes[0].collections[0]
    assert isinstance(bars, LineCollection)
    ends = np.array([np.asarray(segment)[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, first[["iou_low", "iou_high"]])


@pytest.mark.no_cover
@pytest.mark.parametrize("protocol", ["selected"])
@pytest.mark.parametrize("name", FIGURES)
def test_rewriting_keeps_the_ends_and_the_extremes_of_every_line(own: Results, name: str) -> None:
    figure = FIGURES[name](own[SPLITS[0]])
    assert figure is not None
    svg = ET.fromstring(svg_file(figure).partition("\n")[2])  # noqa: S314 - our own
    found = {
        str(group[0].text): _points(path)
        for group in svg.iter(f"{SVG}g")
        if group.get("class") == "line" and (path := group.find(f"{SVG}path")) is not None
    }
    (panel,) = figure.axes
    height_pt = 72 * figure.get_figheight()
    for label, line in lines_of(figure).items():
        drawn = panel.transData.transform(np.column_stack([x_of(line), y_of(line)]))
        drawn = drawn[np.isfinite(drawn).all(axis=1)] * 72 / figure.dpi
        drawn[:, 1] = height_pt - drawn[:, 1]
        for end in (0, -1):
            np.testing.assert_allclose(found[label][end], drawn[end], atol=0.1)
        for extreme in (np.min, np.max):
            np.testing.assert_allclose(extreme(found[label], 0), extreme(drawn, 0), atol=0.3)


def test_the_name_of_an_axis_stays_in_the_figure_if_a_legend_makes_its_panel_lower() -> None:
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panel = figure.subplots(1, 4)[0]
    panel.plot([0, 1], [0.525, 0.675], label="a measure")
    panel.set_ylabel("mean IoU")
    panel.legend(
        [panel.lines[0]] * 7, ["a measure"] * 7, loc="upper center", bbox_to_anchor=(0.5, -0.18)
    )
    (name,) = re.findall(r'x="([\d.-]+)"[^>]*>mean IoU', svg_file(figure))
    assert float(name) > 9  # the height of its letters


def _points(path: ET.Element) -> np.ndarray:
    numbers = re.findall(r"-?\d+(?:\.\d+)?", path.get("d", ""))
    return np.array(numbers, float).reshape(-1, 2)
