"""The stage ``report``: tables, metrics, and a page that needs no network."""

import json
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from pipeline.runtime import METHODS
from pipeline.scoring.measures import HEAD_MEASURES, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.tasks import BOUNDS
from pipeline.vocabulary import MODELS, OBJECTIVES, TASKS
from stages import report
from stages.page.labels import (
    COLOURS,
    CORRECTIONS,
    MEASURE_LABELS,
    METHOD_LABELS,
    RADAR_LABELS,
    SHOWN_MASKS,
    TASK_LABELS,
)
from stages.page.numbers import number, tint
from stages.page.page import settings
from stages.tables.auc import relative_table
from stages.tables.radar import RADAR_LINES
from storage.outputs.gallery import read_gallery, write_gallery
from storage.outputs.results import read_results, write_results, write_runtime
from storage.paths import HEADS, RESULTS, RUNTIME_PATH, gallery_dir, results_dir, trials_path
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS, evaluate_splits, write_params
from tests.fixtures.report_inputs import N_PICTURES, draw_runtime, write_report_inputs


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose two eval splits are evaluated; not to be changed."""
    root = tmp_path_factory.mktemp("evaluated")
    evaluate_splits(root)
    write_report_inputs(root, SPLITS, TRAIN_SPLITS)
    return root


@pytest.fixture
def root(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with results of its own, to report on."""
    for folder in (RESULTS, HEADS):
        shutil.copytree(evaluated / folder, tmp_path / folder)
    shutil.copy(evaluated / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report"])
    return tmp_path


def test_the_stage_writes_tables_metrics_and_page(root: Path) -> None:
    report.main()
    tables = {path.name for path in (root / "results" / "tables").iterdir()}
    assert tables == {
        *(f"table{n}_{task}.csv" for n, task in enumerate(TASKS, 1)),
        *(f"table{n}_{task}_auc.csv" for n, task in enumerate(TASKS, 11)),
        *(f"correlation_{split}.csv" for split in SPLITS),
        *(f"figure5_{task}.csv" for task in TASKS),
        *(f"figure6_radar_{split}.csv" for split in SPLITS),
        *(f"figures4_7_8_gallery_{split}.csv" for split in SPLITS),
        *("iou.csv", "margin.csv", "table7_runtime.csv", "table10_iou_by_view.csv"),
        *("table8_trials.csv", "table9_best_model.csv", "table6_token_ablation.csv"),
        *("selected_tokens.csv", "token_margin.csv"),
    }
    told = json.loads((root / "results" / "metrics.json").read_text(encoding="utf-8"))
    assert list(told) == list(SPLITS)
    assert (root / "results" / "report.html").exists()
    table = (root / "results" / "tables" / "table1_model.csv").read_text(encoding="utf-8")
    assert re.match(
        r"measure,trained_on,shapes_val,shapes_val_low,\S+\nsam_score,,\d+\.\d\d,", table
    )


def test_shares_and_uncertainties_keep_their_digits_in_tables(root: Path) -> None:
    report.main()
    tables = root / "results" / "tables"
    for task, curves in read_results(root / results_dir(SPLITS[0])).curves.groupby("task"):
        oracle = curves.query("measure == 'oracle'")
        written = pd.read_csv(tables / f"figure5_{task}.csv")
        for table, column in (("corrected_fraction", "corrected_fraction"), ("oracle", "mean_iou")):
            np.testing.assert_allclose(written[table], oracle[column], rtol=1e-7)
    shown = read_gallery(root / gallery_dir(SPLITS[0])).table
    written = pd.read_csv(tables / f"figures4_7_8_gallery_{SPLITS[0]}.csv")
    assert list(written) == [name for name in shown if name != "picture"]
    np.testing.assert_allclose(written["uncertainty"], shown["uncertainty"], rtol=1e-7)


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


def test_the_page_says_what_was_run(root: Path) -> None:
    report.main()
    page = (root / "results" / "report.html").read_text(encoding="utf-8")
    told = page.partition('id="run"')[2]
    for split in SPLITS:
        run = read_results(root / results_dir(split)).run
        heads = [head for of_split in run["heads"].values() for head in of_split.values()]
        for signature in (*run["models"].values(), *heads):
            assert {"family", "extract_version"} <= set(signature)
            for key, value in signature.items():
                if key == "model":  # the rows have its name for people
                    continue
                shown = ", ".join(value) if isinstance(value, list) else str(value)
                assert f">{key}<" in told
                assert f">{escape(shown)}<" in told


def test_two_reports_are_equal_to_the_byte(root: Path) -> None:
    def outputs() -> dict[Path, bytes]:
        report.main()
        return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert outputs() == outputs()


class _Page(HTMLParser):
    """Addresses, ids, and the words of pictures of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.descriptions: list[str] = []
        self.captions: list[list[str]] = []
        self._is_caption = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"src", "href"} and value:
                self.addresses.append(value)
            if name == "id" and value:
                self.ids.append(value)
            if name == "alt" and value:
                self.descriptions.append(value)
        if tag == "figcaption":
            self._is_caption = True
            self.captions.append([])

    def handle_endtag(self, tag: str) -> None:
        if tag == "figcaption":
            self._is_caption = False

    def handle_data(self, data: str) -> None:
        if self._is_caption:
            self.captions[-1].append(data)


def test_the_page_needs_no_network_and_its_links_lead_somewhere(root: Path) -> None:
    report.main()
    text = (root / "results" / "report.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert {address for address in page.addresses if not address.startswith("data:")} == {
        f"#{i}" for i in page.ids if not i.startswith(("curves-", "radar-"))
    }
    assert len(page.ids) == len(set(page.ids))
    assert {f"curves-{task}-{i}" for task in TASKS for i in (0, 1)} <= set(page.ids)
    assert {"radar-0", "radar-1"} <= set(page.ids)
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
    assert pd.read_csv(root / "results/tables/table4_segmentation.csv").shape == (7, 8)


def test_pictures_stand_in_the_page_with_their_words(root: Path) -> None:
    report.main()
    page = _Page()
    page.feed((root / "results" / "report.html").read_text(encoding="utf-8"))
    pictures = [address for address in page.addresses if address.startswith("data:image/jpeg;")]
    assert len(pictures) == len(SPLITS) * len(TASKS) * 2 * N_PICTURES
    for split, n_objects in zip(SPLITS, (60, 90), strict=True):
        table = read_gallery(gallery_dir(split)).table
        shown = table[(table["task"] == "segmentation") & (table["rank"] == n_objects)]
        (row,) = shown.to_dict("records")
        words = [f"{n_objects} of {n_objects}", f"1 − USAM: {row['uncertainty']:.3f}"]
        assert [*words, f"IoU {row['iou']:.2f} → 1.00"] in page.captions
        about = f"Object {row['object_id']} of {row['file']}: truth, prediction and click"
        assert about in page.descriptions


def test_without_trials_there_is_no_table_of_them(root: Path) -> None:
    write_report_inputs(root, [], TRAIN_SPLITS, n_trials=0)
    report.main()
    assert not (root / "results" / "tables" / "table8_trials.csv").exists()
    assert 'id="trials"' not in (root / "results" / "report.html").read_text(encoding="utf-8")


def test_trials_keep_their_digits(root: Path) -> None:
    report.main()
    text = (root / "results" / "tables" / "table8_trials.csv").read_text(encoding="utf-8")
    assert "coco_train,iou_tiny,1,0.012346,16,5,0.0003,0.5\n" in text
    assert text.count("\n") == 1 + len(TRAIN_SPLITS) * len(OBJECTIVES) * 3


def test_the_papers_numbers_stand_beside_a_split_that_is_its_data_set(root: Path) -> None:
    data_sets = {"coco_val": "COCO", "coco_train": "COCO"}
    write_params(
        root, SPLITS, train_splits=TRAIN_SPLITS, report={"title": "A test", "paper": data_sets}
    )
    report.main()
    tables = root / "results" / "tables"
    table = pd.read_csv(tables / "table3_task.csv", keep_default_na=False)
    told = table.set_index(["measure", "trained_on"])["coco_val_paper"].to_dict()
    assert (told["h_a", ""], told["delta_a", "coco_train"]) == ("57.55", "94.85")
    assert told["delta_a", "shapes_train"] == ""
    assert "shapes_val_paper" not in table
    with_numbers = {path.name for path in tables.iterdir() if "_paper" in path.read_text("utf-8")}
    assert with_numbers == {
        *(f"table{n}_{task}.csv" for n, task in enumerate(TASKS, 1)),
        *(f"table{n}_{task}_auc.csv" for n, task in enumerate(TASKS, 11)),
        *("table6_token_ablation.csv", "table9_best_model.csv", "table10_iou_by_view.csv"),
        "correlation_coco_val.csv",
    }
    text = (root / "results" / "report.html").read_text(encoding="utf-8")
    assert "coco_val, paper</th>" in text
    assert "The paper's Table 8: 70 trials" in text


def test_pictures_name_the_model_whose_masks_they_show(root: Path) -> None:
    folder = gallery_dir("coco_val")
    found = read_gallery(folder)
    write_gallery(folder, replace(found, table=found.table.replace("large", "base_plus")))
    report.main()
    text = (root / "results" / "report.html").read_text(encoding="utf-8")
    assert text.count("The best mask of the large model; the truth") == 1
    assert text.count("The best mask of the base plus model; the truth") == 1
    assert text.count("The mask of the tiny model with the highest SamScore;") == len(SPLITS)


@pytest.mark.parametrize("family", ["mini", "sam2"])
def test_seconds_are_told_with_their_machine(root: Path, family: str) -> None:
    write_runtime(root / RUNTIME_PATH, draw_runtime(family))
    report.main()
    table = (root / "results" / "tables" / "table7_runtime.csv").read_text(encoding="utf-8")
    assert ("tiny,views5,1.2,0.584,1.2,4.78689," in table) == (family == "sam2")
    assert table.count("Abacus 9,3,drawn scene,7\n") == len(MODELS) * len(METHOD_LABELS)
    text = (root / "results" / "report.html").read_text(encoding="utf-8")
    section = text.partition('<h2 id="runtime">')[2].partition("<h2")[0]
    words = f"family {family}, fp32, median of 7 rounds on Abacus 9, 3 threads."
    assert words in " ".join(section.split())
    assert "dvc repro -f -s runtime" in section
    assert section.count("1.200<br>") == len(MODELS)
    assert ("RTX 3050 Ti" in section) == ("4.79×" in section) == (family == "sam2")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    "path",
    [
        gallery_dir("coco_val") / "gallery.csv",
        trials_path("coco_train", "iou_tiny"),
        RUNTIME_PATH,
    ],
)
def test_what_is_missing_besides_results_is_named(
    capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    path.unlink()
    with pytest.raises(SystemExit):
        report.main()
    assert str(path) in capsys.readouterr().err


@pytest.mark.usefixtures("root")
def test_a_split_that_was_not_evaluated_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    (results_dir("coco_val") / "curves.csv").unlink()
    with pytest.raises(SystemExit):
        report.main()
    message = f"{results_dir('coco_val')}/curves.csv must exist"
    assert message in capsys.readouterr().err


def test_every_name_has_words_and_every_curve_a_colour() -> None:
    assert set(MEASURE_LABELS) == {*UNTRAINED_MEASURES, *HEAD_MEASURES}
    assert set(TASK_LABELS) == set(CORRECTIONS) == set(TASKS)
    drawn = {name for names in TASK_MEASURES.values() for name in names}
    lines = {line.name for line in RADAR_LINES}
    assert set(COLOURS) == {*BOUNDS, *drawn, *lines}
    assert set(RADAR_LABELS) == lines
    assert set(SHOWN_MASKS) == set(TASKS)
    assert list(METHOD_LABELS) == list(METHODS)


def test_settings_tell_the_shared_from_the_own() -> None:
    found = settings({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3, "z": 4}}, "thing")
    assert found.shared == {"x": 1}
    assert found.own.fillna("").to_dict("records") == [
        {"thing": "a", "y": 2, "z": ""},
        {"thing": "b", "y": 3, "z": 4},
    ]


def test_numbers_and_tints_for_people() -> None:
    told = [number(value) for value in (71.78, -1.26, -0.04, float("nan"))]
    assert told == ["71.8", "−1.3", "0.0", "–"]
    assert tint(1) == "rgba(239,68,68,0.70)"
    assert tint(-0.5) == "rgba(59,130,246,0.35)"
    assert tint(float("nan")) == "none"
