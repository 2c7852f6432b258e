"""The stage ``report``: tables, metrics, and a page that needs no network."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, get_args
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd
import pytest

from pipeline.runtime import METHODS
from pipeline.scoring.measures import HEAD_MEASURES, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.tasks import BOUNDS
from pipeline.vocabulary import MODELS, OBJECTIVES, TASKS
from stages import report
from stages.page import page as contents
from stages.page.commit import Commit
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
from stages.page.settings import setting, settings
from stages.tables import catalogue
from stages.tables.auc import margin_table, relative_table
from stages.tables.catalogue import REPORT_TABLES
from stages.tables.iou import iou_table
from stages.tables.radar import RADAR_LINES
from stages.tables.report_table import ReportTable, Section
from storage.outputs.gallery import read_gallery, write_gallery
from storage.outputs.results import read_results, write_results, write_runtime
from storage.paths import HEADS, RESULTS, RUNTIME_PATH, gallery_dir, results_dir, trials_path
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS, evaluate_splits, write_params
from tests.fixtures.html_page import read_page, section, tables, words
from tests.fixtures.report_inputs import N_PICTURES, draw_runtime, write_report_inputs

PAGE: Final = RESULTS / "report.html"

CELLS: Final = ("dt", "dd", "th", "td")
"""Elements that tell a setting."""

EQUATIONS: Final = {"h_y": 4, "h_theta": 5, "h_xp": 6, "h_a": 7}
"""Of the measures that have one in the paper."""


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


@pytest.fixture(scope="module")
def page(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Element:
    """The page of ``evaluated`` as it is; not to be changed."""
    root = tmp_path_factory.mktemp("reported")
    shutil.copytree(evaluated, root, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(sys, "argv", ["report"])
        report.main()
    return read_page(root / PAGE)


def test_the_stage_writes_tables_metrics_and_page(root: Path) -> None:
    report.main()
    tables = {path.name for path in (root / "results" / "tables").iterdir()}
    assert tables >= {
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
    of_one = {"{task}": len(TASKS), "{split}": len(SPLITS)}
    counts = [sum(n for one, n in of_one.items() if one in row.name) for row in REPORT_TABLES]
    assert len(tables) == sum(n or 1 for n in counts)
    plots = {path.name for path in (root / "results" / "plots").iterdir()}
    assert plots == {f"{split}_{task}.svg" for split in SPLITS for task in TASKS}
    told = json.loads((root / "results" / "metrics.json").read_text(encoding="utf-8"))
    assert list(told) == list(SPLITS)
    assert (root / "results" / "report.html").exists()
    table = (root / "results" / "tables" / "table1_model.csv").read_text(encoding="utf-8")
    assert re.match(
        r"measure,trained_on,shapes_val,shapes_val_low,\S+\nsam_score,,\d+\.\d\d,", table
    )


def test_a_cut_table_is_refused_in_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / results_dir(SPLITS[0]) / "auc.csv"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SystemExit):
        report.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{path.relative_to(root)} must be the table that run.json tells of" in line


def test_seconds_cut_between_two_models_are_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timed = draw_runtime("mini")
    write_runtime(root / RUNTIME_PATH, timed[timed["model"] != "large"])
    with pytest.raises(SystemExit):
        report.main()
    assert "runtime.csv must have every method of large, got none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda: Path("params.yaml").write_text("", "utf-8"), id="settings"),
        pytest.param(lambda: 1 / 0, id="a fault of ours"),
    ],
)
def test_a_report_that_fails_leaves_the_last_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], object]
) -> None:
    report.main()
    before = report_files(root)

    def broken(*_: object) -> str:
        fault()
        return "<html>Another</html>"

    monkeypatch.setattr(report, "render_report", broken)
    with pytest.raises((SystemExit, ZeroDivisionError)):
        report.main()
    assert report_files(root) == before


def report_files(root: Path) -> dict[str, bytes]:
    """Every file of the report, with what may be left beside it."""
    folder = root / "results"
    files = [folder / "metrics.json", folder / "report.html", *(folder / "tables").iterdir()]
    hidden = folder.glob(".*")
    return {str(path): path.read_bytes() for path in [*files, *hidden]}


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


def test_a_name_with_brackets_is_printed_as_it_is(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read_results(root / results_dir(SPLITS[0]))
    report._print_summary({"[/red]:smile:": found})
    assert "Relative AUC in %, [/red]:smile:, " in " ".join(capsys.readouterr().out.split())


def test_the_page_says_what_was_run(page: Element, evaluated: Path) -> None:
    told = [words(cell) for cell in section(page, "run").iter() if cell.tag in CELLS]
    for split in SPLITS:
        run = read_results(evaluated / results_dir(split)).run
        heads = [head for of_split in run["heads"].values() for head in of_split.values()]
        for signature in (*run["models"].values(), *heads):
            assert {"family", "extract_version"} <= set(signature)
            for key, value in signature.items():
                if key == "model":  # the rows have its name for people
                    continue
                assert key in told
                assert setting(value) in told


def test_two_reports_are_equal_to_the_byte(root: Path) -> None:
    def outputs() -> dict[Path, bytes]:
        report.main()
        return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert outputs() == outputs()


def test_the_page_needs_no_network_and_its_links_lead_somewhere(page: Element) -> None:
    ids = [element.get("id", "") for element in page.iter() if element.get("id")]
    addresses = {element.get(name, "") for element in page.iter() for name in ("src", "href")}
    links = {address for address in addresses if address and not address.startswith("data:")}
    assert links
    assert links <= {f"#{i}" for i in ids}
    assert len(ids) == len(set(ids))
    assert {f"curves-{task}-{i}" for task in TASKS for i in (0, 1)} <= set(ids)
    assert {"radar-0", "radar-1"} <= set(ids)
    scripts = [script.text or "" for script in page.iter("script")]
    assert sum("plotly.js v" in script for script in scripts) == 1


def test_the_contents_name_every_part(page: Element) -> None:
    (nav,) = page.iter("nav")
    linked = {link.get("href", "")[1:] for link in nav}
    parts = {h2.get("id") for h2 in page.iter("h2")}
    assert parts - {"curves"} | set(TASKS) == linked


def test_headings_skip_no_level_and_every_table_is_captioned(page: Element) -> None:
    levels = [int(e.tag[1]) for e in page.iter() if re.fullmatch(r"h\d", e.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in page.iter("table"):
        assert table[0].tag == "caption"
        assert words(table[0])
        heads = list(table.iter("th"))
        assert {head.get("scope") for head in heads} <= {"col", "row", "colgroup"}


def test_nothing_on_the_page_is_a_raw_number(page: Element) -> None:
    (main,) = page.iter("main")
    told = words(main)
    fractions = re.findall(r"\d+\.\d+", told)
    assert fractions
    # Rounded numbers have at most four digits behind the leading zeros.
    assert not [text for text in fractions if len(text.replace(".", "").lstrip("0")) > 4]
    for missing in ("NaN", "nan", "None"):
        assert missing not in told.split()


def test_measures_models_and_views_stand_across_and_down(page: Element, evaluated: Path) -> None:
    models = [model.replace("_", " ") for model in MODELS]
    printed = tables(section(page, "iou"))
    for caption, corner, names in (
        ("Mean IoU in %, by proposal", "proposal", ["best", "selected", "refined"]),
        ("Mean IoU in %, by view (the paper's Table 10)", "view", ["identity", "vflip"]),
        ("Share of the objects in % (the paper's Table 9)", "split", list(SPLITS)),
    ):
        found = printed[caption]
        n_splits = 1 if corner == "split" else len(SPLITS)
        assert list(found) == [corner, *models * n_splits]
        assert list(found[corner]) == names
    iou = read_results(evaluated / results_dir(SPLITS[1])).iou
    wanted = iou.query("view == 'identity' and proposal == 'refined' and model == 'small'")
    (value,) = 100 * wanted["mean_iou"]
    refined = printed["Mean IoU in %, by proposal"].to_numpy()[2]
    assert str(refined[1 + len(MODELS) + MODELS.index("small")]).startswith(f"{value:.2f} ")


def test_a_new_table_appears_in_its_section(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = [
        ReportTable(
            f"new_{part}_{{{kind}}}" if kind else f"new_{part}",
            lambda given, _: iou_table(given.results),
            f"New of {part}",
            section=part,
            caption=f"New of {part}{kind}",
            across="model",
        )
        for part in get_args(Section)
        for kind in ("", "split", "task")
    ]
    rows = (*REPORT_TABLES, *new)
    monkeypatch.setattr(catalogue, "REPORT_TABLES", rows)
    monkeypatch.setattr(contents, "REPORT_TABLES", rows)
    report.main()
    page = read_page(root / PAGE)
    for part in get_args(Section):
        captions = [words(table[0]) for table in section(page, part).iter("table")]
        counts = [captions.count(f"New of {part}{kind}") for kind in ("", "split", "task")]
        assert counts == [1, len(SPLITS), len(TASKS)]


def test_margins_above_0_are_marked(page: Element, evaluated: Path) -> None:
    (table,) = (
        table
        for table in section(page, "overview").iter("table")
        if words(table[0]).startswith("Margin")
    )
    results = {split: read_results(evaluated / results_dir(split)) for split in SPLITS}
    expected = sum((margin_table(results)[f"{split}_low"] > 0).sum() for split in SPLITS)
    assert expected
    marked = [cell for cell in table.iter("td") if "marked" in cell.get("class", "")]
    assert len(marked) == expected


def test_every_measure_and_its_equation_stand_in_the_glossary(page: Element) -> None:
    glossary = section(page, "glossary")
    told = {words(term): words(meaning) for term, meaning in glossary.iter("div")}
    assert set(MEASURE_LABELS.values()) <= set(told)
    assert {"SamScore", "best", "selected", "view", "prompt", "relative AUC", "margin"} <= set(told)
    equations = {MEASURE_LABELS[name]: f"Eq. {n}" for name, n in EQUATIONS.items()}
    for term, equation in equations.items():
        assert equation in told[term]


def test_the_page_names_the_commit_of_the_code(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tuple(f"stages/{i}.py" for i in range(7))
    commit = Commit("0123456789ab", "2025-05-08", changed)
    for found, expected in (
        (commit, "commit 0123456789ab of 2025-05-08, with changes to stages/0.py, "),
        (commit, "stages/4.py and 2 other files."),
        (replace(commit, changed=()), "commit 0123456789ab of 2025-05-08."),
        (None, "The commit of the code is unknown"),
    ):
        monkeypatch.setattr(report, "last_commit", lambda _, found=found: found)
        report.main()
        (header,) = read_page(root / PAGE).iter("header")
        assert expected in words(header)


@pytest.mark.parametrize(
    ("paper", "family", "is_cautious"),
    [
        ({"coco_val": "COCO"}, "mini", True),
        ({"coco_val": "COCO"}, "sam2", False),
        ({"coco_train": "COCO"}, "mini", False),
        ({}, "mini", False),
    ],
)
def test_another_family_beside_the_papers_numbers_is_told(
    root: Path, paper: dict[str, str], family: str, is_cautious: bool
) -> None:
    settings = {"title": "A test", "paper": paper}
    write_params(root, SPLITS, train_splits=TRAIN_SPLITS, report=settings)
    found = read_results(results_dir("coco_val"))
    run = {**found.run, "entropy": found.run["entropy"] | {"family": family}}
    write_results(results_dir("coco_val"), replace(found, run=run))
    report.main()
    notes = [words(p) for p in read_page(root / PAGE).iter("p") if p.get("role") == "note"]
    assert bool(notes) == is_cautious
    for note in notes:
        assert "family sam2, those of coco_val here of mini." in note


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
    n_rows = sum(name in UNTRAINED_MEASURES for name in TASK_MEASURES["segmentation"])
    assert pd.read_csv(root / "results/tables/table4_segmentation.csv").shape == (n_rows, 8)


def test_pictures_stand_in_the_page_with_their_words(page: Element, evaluated: Path) -> None:
    figures = [e for e in page.iter("figure") if e.get("class") == "picture"]
    assert len(figures) == len(SPLITS) * len(TASKS) * 2 * N_PICTURES
    by_anchor = {figure.get("id"): figure for figure in figures}
    for split, n_objects in zip(SPLITS, (60, 90), strict=True):
        table = read_gallery(evaluated / gallery_dir(split)).table
        shown = table[(table["task"] == "segmentation") & (table["rank"] == n_objects)]
        (row,) = shown.to_dict("records")
        figure = by_anchor[f"picture-{split}-segmentation-{n_objects}"]
        (image,) = figure.iter("img")
        assert image.get("src", "").startswith("data:image/jpeg;base64,")
        assert image.get("alt", "").startswith(f"Object {row['object_id']} of {row['file']}: ")
        (caption,) = figure.iter("figcaption")
        assert words(caption) == (
            f"{row['file']} , object {row['object_id']} {n_objects} of {n_objects} "
            f"1 − USAM: {row['uncertainty']:.3f} IoU {row['iou']:.2f} → 1.00"
        )


def test_a_picture_is_enlarged_and_left_by_links(page: Element) -> None:
    for card in section(page, "gallery").iter("section"):
        for end in card.iter("div"):
            figures = end.findall("figure")
            for i, figure in enumerate(figures):
                links = {a.get("class"): a.get("href") for a in figure.iter("a")}
                assert links["enlarge"] == f"#{figure.get('id')}"
                assert links["close"] == links["backdrop close"] == f"#{card.get('id')}"
                neighbours = {"previous": i - 1, "next": i + 1}
                for name, place in neighbours.items():
                    is_there = 0 <= place < len(figures)
                    expected = f"#{figures[place].get('id')}" if is_there else None
                    assert links.get(name) == expected


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
    folder = root / "results" / "tables"
    table = pd.read_csv(folder / "table3_task.csv", keep_default_na=False)
    written = table.set_index(["measure", "trained_on"])["coco_val_paper"].to_dict()
    assert (written["h_a", ""], written["delta_a", "coco_train"]) == ("57.55", "94.85")
    assert written["delta_a", "shapes_train"] == ""
    assert "shapes_val_paper" not in table
    with_numbers = {path.name for path in folder.iterdir() if "_paper" in path.read_text("utf-8")}
    assert with_numbers == {
        *(f"table{n}_{task}.csv" for n, task in enumerate(TASKS, 1)),
        *(f"table{n}_{task}_auc.csv" for n, task in enumerate(TASKS, 11)),
        *("table6_token_ablation.csv", "table9_best_model.csv", "table10_iou_by_view.csv"),
        "correlation_coco_val.csv",
    }
    page = read_page(root / PAGE)
    assert "The paper's Table 8: 70 trials" in words(section(page, "trials"))
    shown = tables(section(page, "curves"))["Relative AUC in % (the paper's Table 3)"]
    told = dict(zip(shown["measure"], shown["coco_val"], strict=True))
    assert told["H_A"].endswith(" paper 57.5")


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
    runtime = section(read_page(root / PAGE), "runtime")
    told = words(runtime)
    assert f"family {family}, fp32, median of 7 rounds on Abacus 9, 3 threads." in told
    assert "dvc repro -f -s runtime" in told
    (seconds,) = tables(runtime).values()
    ends = {"sam2": " paper 0.584 s, 4.79×", "mini": ""}
    assert seconds["|T| = 5 views"].tolist()[0] == f"1.20 s 1.20×{ends[family]}"
    assert ("RTX 3050 Ti" in told) == (family == "sam2")


@pytest.mark.parametrize("ratio", [0.987654321, 1.0])
def test_a_ratio_below_1_is_explained(root: Path, ratio: float) -> None:
    timed = draw_runtime("mini")
    write_runtime(root / RUNTIME_PATH, timed.assign(ratio=timed["ratio"].replace(1.1, ratio)))
    report.main()
    told = words(section(read_page(root / PAGE), "runtime"))
    assert ("A ratio below 1 is noise" in told) == (ratio < 1)
    assert f"{ratio:.2f}×" in told


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


def test_settings_are_short() -> None:
    told = {
        "0123456789abcdef0123": "0123456789ab…",
        "0.031274767183676": "0.03127",
        "2.13.0+cpu": "2.13.0+cpu",
        '{"epochs": 10, "learning_rate": 0.03}': "epochs 10, learning_rate 0.03",
        ("tiny", "large"): "tiny, large",
        4: "4",
    }
    assert {value: setting(value) for value in told} == told
