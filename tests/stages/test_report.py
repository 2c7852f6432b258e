"""The stage ``report``: tables, metrics, plots, and a page that needs no network."""

import json
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from pipeline.evaluation import BOUNDS, TASK_MEASURES, TASKS
from pipeline.measures import HEAD_MEASURES, UNTRAINED_MEASURES
from stages import report
from stages.labels import COLOURS, CORRECTIONS, MEASURE_LABELS, TASK_LABELS
from stages.rendering import number, settings, tint
from stages.tables import relative_table
from storage.layout import RESULTS, results_dir
from storage.results import read_results, write_results
from tests.eval_split import SPLITS, TRAIN_SPLITS, evaluate_splits, write_params


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose two eval splits are evaluated; not to be changed."""
    root = tmp_path_factory.mktemp("evaluated")
    evaluate_splits(root)
    return root


@pytest.fixture
def root(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with results of its own, to report on."""
    shutil.copytree(evaluated / RESULTS, tmp_path / RESULTS)
    shutil.copy(evaluated / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report"])
    return tmp_path


def test_the_stage_writes_tables_metrics_plots_and_page(root: Path) -> None:
    report.main()
    tables = {path.name for path in (root / "results" / "tables").iterdir()}
    assert tables == {
        *(f"table{n}_{task}.csv" for n, task in enumerate(TASKS, 1)),
        *(f"table{n}_{task}_auc.csv" for n, task in enumerate(TASKS, 11)),
        *(f"correlation_{split}.csv" for split in SPLITS),
        *("iou.csv", "margin.csv", "table10_iou_by_view.csv"),
    }
    plots = {path.name for path in (root / "results" / "plots").iterdir()}
    assert plots == {f"{task}.csv" for task in TASKS}
    told = json.loads((root / "results" / "metrics.json").read_text(encoding="utf-8"))
    assert list(told) == list(SPLITS)
    assert (root / "results" / "report.html").exists()
    table = (root / "results" / "tables" / "table1_model.csv").read_text(encoding="utf-8")
    assert re.match(
        r"measure,trained_on,shapes_val,shapes_val_low,\S+\nsam_score,,\d+\.\d\d,", table
    )


def test_the_stage_prints_relative_auc_and_where_the_page_is(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report.main()
    printed = capsys.readouterr().out
    (expected,) = relative_table(
        {"coco_val": read_results(root / results_dir("coco_val"))}, "task"
    ).query("measure == 'h_a'")["coco_val"]
    assert "coco_val, 90 objects" in printed
    assert re.search(rf"H_A .*{expected:.1f} \(\d", printed.partition("coco_val")[2])
    assert str(RESULTS / "report.html") in printed


def test_two_reports_are_equal_to_the_byte(root: Path) -> None:
    def outputs() -> dict[Path, bytes]:
        report.main()
        return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert outputs() == outputs()


class _Page(HTMLParser):
    """Addresses, ids and the number of scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"src", "href"} and value:
                self.addresses.append(value)
            if name == "id" and value:
                self.ids.append(value)


def test_the_page_needs_no_network_and_its_links_lead_somewhere(root: Path) -> None:
    report.main()
    text = (root / "results" / "report.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert {address for address in page.addresses if address != "data:,"} == {
        f"#{i}" for i in page.ids if not i.startswith("curves-")
    }
    assert len(page.ids) == len(set(page.ids))
    assert {f"curves-{task}-{i}" for task in TASKS for i in (0, 1)} <= set(page.ids)
    assert text.count("plotly.js v") == 1
    for missing in ("NaN", "nan</td>", "None"):
        assert f">{missing}" not in text


def test_names_are_escaped_in_the_page(root: Path) -> None:
    write_params(root, SPLITS, train_splits=TRAIN_SPLITS, report={"title": "<b>&"})
    found = read_results(results_dir("coco_val"))
    heads = {"<i>train</i>": found.run["heads"]["coco_train"]}
    run = {**found.run, "heads": heads}
    renamed = {
        name: getattr(found, name).replace("coco_train", "<i>train</i>")
        for name in ("auc", "curves", "correlation")
    }
    keep = found.auc["train_split"] != "shapes_train"
    renamed["auc"] = renamed["auc"][keep]
    write_results(results_dir("coco_val"), replace(found, **renamed, run=run))
    report.main()
    text = (root / "results" / "report.html").read_text(encoding="utf-8")
    assert "<title>&lt;b&gt;&amp;</title>" in text
    assert "<i>train" not in text.partition("<main>")[2]


def test_results_without_heads_are_reported(root: Path) -> None:
    for split in SPLITS:
        found = read_results(results_dir(split))
        correlation = found.correlation.drop(columns=list(HEAD_MEASURES))
        correlation = correlation[correlation["train_split"] == "coco_train"]
        untrained = replace(
            found,
            auc=found.auc[found.auc["train_split"] == ""],
            curves=found.curves[found.curves["train_split"] == ""],
            correlation=correlation.assign(train_split=""),
            run={**found.run, "heads": {}},
        )
        write_results(results_dir(split), untrained)
    report.main()
    assert "USAM" not in (root / "results/report.html").read_text().partition("<main>")[2][:5000]
    assert pd.read_csv(root / "results/tables/table4_segmentation.csv").shape == (6, 8)


@pytest.mark.usefixtures("root")
def test_a_split_that_was_not_evaluated_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    (results_dir("coco_val") / "curves.csv").unlink()
    with pytest.raises(SystemExit):
        report.main()
    message = f"{results_dir('coco_val')}/curves.csv must exist"
    assert message in capsys.readouterr().err


def test_there_must_be_a_split_to_report_on(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_params(root, [])
    with pytest.raises(SystemExit):
        report.main()
    assert "eval_splits must name at least one split" in capsys.readouterr().err


def test_every_name_has_words_and_every_curve_a_colour() -> None:
    assert set(MEASURE_LABELS) == {*UNTRAINED_MEASURES, *HEAD_MEASURES}
    assert set(TASK_LABELS) == set(CORRECTIONS) == set(TASKS)
    assert set(COLOURS) == {*BOUNDS, *(name for names in TASK_MEASURES.values() for name in names)}


def test_settings_tell_the_shared_from_the_own() -> None:
    found = settings({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3, "z": 4}}, "thing")
    assert found.shared == {"x": 1}
    assert found.own.fillna("").to_dict("records") == [
        {"thing": "a", "y": 2, "z": ""},
        {"thing": "b", "y": 3, "z": 4},
    ]


def test_numbers_and_tints_for_people() -> None:
    assert [number(value) for value in (71.78, -0.04, float("nan"))] == ["71.8", "0.0", "–"]
    assert tint(1) == "rgba(239,68,68,0.70)"
    assert tint(-0.5) == "rgba(59,130,246,0.35)"
    assert tint(float("nan")) == "none"
