"""The pictures of ``dvc plots show``."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import product

import pytest

from pipeline.scoring.measures import TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.vocabulary import TASKS
from stages.page.labels import COLOURS, TASK_LABELS, measure_label
from stages.page.svg import curve_plots
from storage.outputs.results import SplitResults, read_results
from storage.paths import results_dir
from tests.fixtures.eval_split import SPLITS, evaluate_splits

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SplitResults]:
    root = tmp_path_factory.mktemp("evaluated")
    evaluate_splits(root)
    return {split: read_results(root / results_dir(split)) for split in SPLITS}


@pytest.fixture(scope="module")
def plots(results: dict[str, SplitResults]) -> dict[str, str]:
    return curve_plots(results)


def words(svg: str) -> set[str]:
    found = ET.fromstring(svg).iter(f"{SVG}text")  # noqa: S314 - our own
    return {"".join(text.itertext()) for text in found}


def test_there_is_a_picture_a_split_and_task(plots: dict[str, str]) -> None:
    assert set(plots) == {f"{split}_{task}.svg" for split, task in product(SPLITS, TASKS)}


@pytest.mark.parametrize("task", TASKS)
def test_a_picture_names_axes_and_lines_and_draws_each_in_its_colour(
    plots: dict[str, str], task: str
) -> None:
    svg = plots[f"coco_val_{task}.svg"]
    labels = {measure_label(name) for name in TASK_MEASURES[task]}
    expected = {"mean IoU", "corrected objects, the most uncertain first", "worst to oracle"}
    assert words(svg) >= labels | expected
    assert any(f"{TASK_LABELS[task]}, coco_val" in text for text in words(svg))
    assert all(COLOURS[name] in svg for name in TASK_MEASURES[task])


def test_pictures_load_nothing(plots: dict[str, str]) -> None:
    for svg in plots.values():
        elements = list(ET.fromstring(svg).iter())  # noqa: S314 - our own
        assert not [item for item in elements if item.tag in {f"{SVG}script", f"{SVG}image"}]
        links = [value for item in elements for key, value in item.items() if "href" in key]
        assert all(link.startswith("#") for link in links)


def test_without_heads_their_lines_are_missing(results: dict[str, SplitResults]) -> None:
    found = results["coco_val"]
    untrained = replace(found, curves=found.curves[found.curves["train_split"] == ""])
    svg = curve_plots({"coco_val": untrained})["coco_val_task.svg"]
    told = words(svg)
    for name in TASK_MEASURES["task"]:
        assert (measure_label(name) in told) == (name in UNTRAINED_MEASURES)


def test_equal_results_give_equal_bytes(
    results: dict[str, SplitResults], plots: dict[str, str]
) -> None:
    assert curve_plots(results) == plots
