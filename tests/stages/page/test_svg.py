"""The pictures of ``dvc plots show``."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import product

import pandas as pd
import pytest

from pipeline.scoring.measures import TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.vocabulary import PROTOCOLS, TASKS
from stages.page import svg as svg_module
from stages.page.labels import COLOURS, measure_label
from stages.page.svg import curve_plots
from storage.outputs.results import SplitResults
from tests.fixtures.eval_split import SPLITS

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plots(results: dict[str, SplitResults]) -> dict[str, str]:
    return curve_plots(results)


def words(svg: str) -> set[str]:
    found = ET.fromstring(svg).iter(f"{SVG}text")  # noqa: S314 - our own
    return {"".join(text.itertext()) for text in found}


def test_there_is_a_picture_a_split_protocol_and_task(plots: dict[str, str]) -> None:
    assert set(plots) == {
        f"{split}_{protocol}_{task}.svg"
        for split, protocol, task in product(SPLITS, PROTOCOLS, TASKS)
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("task", TASKS)
def test_a_picture_names_axes_and_lines_and_draws_each_in_its_colour(
    plots: dict[str, str], protocol: str, task: str
) -> None:
    svg = plots[f"coco_val_{protocol}_{task}.svg"]
    names = set(TASK_MEASURES[task])
    if protocol == "selected" or task == "task":
        names -= {"sam_score_highest"}
    labels = {measure_label(name) for name in names}
    expected = {"mean IoU", "corrected objects, the most uncertain first", "worst to oracle"}
    assert words(svg) >= labels | expected
    assert (measure_label("sam_score_highest") in words(svg)) == ("sam_score_highest" in names)
    assert all(COLOURS[name] in svg for name in names)


@pytest.mark.parametrize(
    ("file", "title", "mask"),
    [
        ("best_model", "Best masks (chosen by ground truth): Model", "The best mask of the tiny"),
        ("best_task", "Best masks (chosen by ground truth): Task", "The mask with the highest"),
        ("selected_model", "Selected masks: Model", "The mask with the highest SamScore of the"),
        ("selected_segmentation", "Selected masks: Segmentation", "The mask with the highest"),
    ],
)
def test_a_picture_names_its_protocol_and_the_judged_mask(
    plots: dict[str, str], file: str, title: str, mask: str
) -> None:
    told = words(plots[f"coco_val_{file}.svg"])
    assert any(f"{title}, coco_val" in text for text in told)
    assert any(text.startswith(mask) or f" {mask}" in text for text in told)


def test_the_title_is_whole_and_above_the_names_of_all_lines(plots: dict[str, str]) -> None:
    for svg in plots.values():
        title = re.findall(r'transform="translate\((\S+) (\S+)\)">(?:Best|Selected|The) ', svg)
        names = re.findall(r'y="(\S+)"[^>]*>(?:worst to oracle|1 − SamScore)<', svg)
        assert len(title) == 2
        assert min(float(x) for x, _ in title) >= 0
        assert max(float(y) for _, y in title) < min(map(float, names))


def test_protocols_have_curves_of_their_own(
    results: dict[str, SplitResults], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}

    def keep(curves: pd.DataFrame, protocol: str, task: str, split: str) -> str:
        drawn[split, protocol, task] = curves
        return ""

    monkeypatch.setattr(svg_module, "_figure_svg", keep)
    curve_plots(results)
    for (split, protocol, task), curves in drawn.items():
        assert set(curves["protocol"]) == {protocol}
        model = results[split].curves.query("task == @task")["model"].iloc[0]
        objects = results[split].objects
        is_own = (objects["protocol"] == protocol) & (objects["model"] == model)
        judged = "selected" if task == "task" else protocol
        start = objects[is_own & (objects["judged"] == judged)]["iou"].mean()
        first = curves[(curves["measure"] == "h_std") & (curves["corrected_fraction"] == 0)]
        assert first["mean_iou"].iloc[0] == pytest.approx(start, abs=1e-6)


def test_pictures_load_nothing(plots: dict[str, str]) -> None:
    for svg in plots.values():
        elements = list(ET.fromstring(svg).iter())  # noqa: S314 - our own
        assert not [item for item in elements if item.tag in {f"{SVG}script", f"{SVG}image"}]
        links = [value for item in elements for key, value in item.items() if "href" in key]
        assert all(link.startswith("#") for link in links)


def test_without_heads_their_lines_are_missing(results: dict[str, SplitResults]) -> None:
    found = results["coco_val"]
    untrained = replace(found, curves=found.curves[found.curves["train_split"] == ""])
    told = words(curve_plots({"coco_val": untrained})["coco_val_best_model.svg"])
    for name in TASK_MEASURES["model"]:
        assert (measure_label(name) in told) == (name in UNTRAINED_MEASURES)


def test_equal_results_give_equal_bytes(
    results: dict[str, SplitResults], plots: dict[str, str]
) -> None:
    assert curve_plots(results) == plots
