"""The stage ``report``: tables, metrics, and a page that needs no network."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

import pandas as pd
import pytest
from typer.testing import CliRunner

from pipeline.heads.kinds import KINDS
from pipeline.runtime import METHODS
from pipeline.scoring.corrections import BOUNDS
from pipeline.scoring.measures import HEAD_MEASURES, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.vocabulary import PROTOCOLS, TASKS
from stages import report
from stages.cli.app import app
from stages.page import page as contents
from stages.page.labels import (
    COLOURS,
    CORRECTIONS,
    METHOD_LABELS,
    PROTOCOL_LABELS,
    PROTOCOL_MEANINGS,
    SYMBOLS,
    TASK_LABELS,
    TRUTH_MARKS,
    measure_label,
    timed_ratio,
)
from stages.page.page import Commit
from stages.page.verdict import comparisons, sentences, verdict_table
from stages.tables import catalogue
from stages.tables.auc import RADAR_LINES, margin_table
from stages.tables.catalogue import REPORT_TABLES
from stages.tables.paper import DataSets
from stages.tables.report_table import SECTIONS, ReportTable, of_protocol
from stages.tables.statistics import iou_table
from storage.outputs.results import (
    SplitResults,
    read_gallery,
    read_results,
    write_runtime,
)
from storage.paths import HEADS, RESULTS, RUNTIME_PATH, gallery_dir, results_dir, trials_path
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS, write_params
from tests.fixtures.html_page import parse_page, read_page, section, tables, words
from tests.fixtures.mini import MODELS, OBJECTIVES
from tests.fixtures.report_inputs import (
    N_PICTURES,
    draw_runtime,
    write_report_inputs,
    write_split_results,
)

PAGE: Final = RESULTS / "report.html"
METRICS: Final = RESULTS / "metrics.json"

EQUATIONS: Final = {"h_y": 4, "h_theta": 5, "h_xp": 6, "h_a": 7}
"""Equations of the paper, by measure."""


SPLIT: Final = "coco_val"
"""The split of ``root``."""


@pytest.fixture(scope="module")
def page(reported: Path) -> Element:
    """The page of ``reported``."""
    return read_page(reported / PAGE)


@pytest.fixture(scope="module")
def drawn_page(reported_beside_paper: Path) -> Element:
    """A page with its figures and with the paper's numbers."""
    return read_page(reported_beside_paper / PAGE)


@pytest.fixture
def root(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with results of its own, to report on a single split of them."""
    for folder in (RESULTS, HEADS):
        shutil.copytree(evaluated / folder, tmp_path / folder)
    write_params(tmp_path, [SPLIT], train_splits=TRAIN_SPLITS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report"])
    return tmp_path


@pytest.fixture
def undrawn(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, whose figures are made but not drawn, which takes most of the time."""
    monkeypatch.setattr("stages.page.svg._svg", lambda *_, **__: "<svg></svg>")
    return root


@pytest.fixture
def best(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as ``root`` with the best masks alone on the page, and without plots."""
    monkeypatch.setattr(contents, "SHOWN_PROTOCOLS", ("best",))
    monkeypatch.setattr("stages.page.figures.curve_plots", lambda _: {"one.svg": "<svg/>"})
    return root


@pytest.fixture
def brief(best: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with nothing of a protocol on the page."""
    monkeypatch.setattr(contents, "SHOWN_PROTOCOLS", ())
    return best


def test_the_stage_writes_tables_metrics_and_page(reported: Path) -> None:
    folder = reported / "results" / "tables"
    of_protocol = {
        *(f"table{n}_{task}.csv" for n, task in enumerate(TASKS, 1)),
        *(f"table{n}_{task}_auc.csv" for n, task in enumerate(TASKS, 11)),
        *(f"correlation_{split}.csv" for split in SPLITS),
        *(f"figure5_{task}.csv" for task in TASKS),
        *(f"figure6_radar_{split}.csv" for split in SPLITS),
        *(f"figures4_7_8_gallery_{split}.csv" for split in SPLITS),
        *("margin.csv", "table9_best_model.csv", "table10_iou_by_view.csv"),
    }
    of_best = {"table6_token_ablation.csv", "token_margin.csv"}
    of_selected = {"mask_sets.csv"}
    tables = {str(path.relative_to(folder)) for path in folder.rglob("*.csv")}
    assert tables >= {
        *("iou.csv", "table7_runtime.csv", "table8_trials.csv"),
        *(f"best/{name}" for name in of_protocol | of_best),
        *(f"selected/{name}" for name in of_protocol | of_selected),
    }
    of_one = {"{task}": len(TASKS), "{split}": len(SPLITS)}
    counts = [
        len(row.protocols) * (sum(n for one, n in of_one.items() if one in row.name) or 1)
        for row in REPORT_TABLES
    ]
    # Heads without a token are the paper's alone, and sets a user's.
    assert len(tables) == sum(counts) - len(of_best) - len(of_selected)
    plots = {path.name for path in (reported / "results" / "plots").iterdir()}
    assert plots == {
        f"{split}_{protocol}_{task}.svg"
        for split, protocol, task in product(SPLITS, PROTOCOLS, TASKS)
    }
    told = json.loads((reported / "results" / "metrics.json").read_text(encoding="utf-8"))
    assert list(told) == list(SPLITS)
    assert {tuple(of_split) for of_split in told.values()} == {("mean_iou", *TASKS)}
    assert (reported / "results" / "report.html").exists()
    head = r"measure,trained_on,shapes_val,shapes_val_low,\S+\nsam_score,,\d+\.\d\d,\S+\n"
    for protocol, second in {
        "best": "sam_score_highest,,",
        "selected": "sam_score_largest,,",
    }.items():
        table = (folder / protocol / "table1_model.csv").read_text(encoding="utf-8")
        assert re.match(head + second, table)


def test_each_protocol_is_told_by_its_own_rows(reported: Path) -> None:
    root = reported
    folder, told = root / "results" / "tables", json.loads((root / METRICS).read_text("utf-8"))
    for split, protocol in product(SPLITS, PROTOCOLS):
        found, written = read_results(root / results_dir(split)), folder / protocol
        auc = found.auc[(found.auc["protocol"] == protocol) & (found.auc["measure"] == "h_std")]
        for n, task in enumerate(TASKS, 1):
            model = "large" if task == "segmentation" else "tiny"
            (row,) = auc[(auc["task"] == task) & (auc["model"] == model)].to_dict("records")
            table = pd.read_csv(written / f"table{n}_{task}.csv").set_index("measure")
            assert table[split]["h_std"] == pytest.approx(100 * row["relative"], abs=0.005)
            table = pd.read_csv(written / f"table{n + 10}_{task}_auc.csv")
            table = table[table["model"] == model].set_index("measure")
            for measure, column in {"h_std": "auc", "oracle": "oracle", "worst": "worst"}.items():
                assert table[split][measure] == pytest.approx(100 * row[column], abs=0.005)
            if protocol == "selected" and task == "segmentation":
                assert told[split][task]["h_std"] == pytest.approx(row["relative"], abs=1e-6)
            radar = pd.read_csv(written / f"figure6_radar_{split}.csv").set_index("measure")
            assert radar[task]["h_std"] == pytest.approx(100 * row["relative"], abs=0.005)
        told_of = [found.correlation, pd.read_csv(written / f"correlation_{split}.csv")]
        told_of[0] = told_of[0][told_of[0]["protocol"] == protocol]
        expected, shown = (
            table[(table["model"] == "tiny") & (table["row"] == "iou_gt")]["h_std"].tolist()
            for table in told_of
        )
        assert shown == pytest.approx(expected, abs=0.005)
        pictures = pd.read_csv(written / f"figures4_7_8_gallery_{split}.csv")
        gallery = read_gallery(root / gallery_dir(split)).table
        gallery = gallery[gallery["protocol"] == protocol]
        assert pictures["object_id"].tolist() == gallery["object_id"].tolist()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda: Path("params.yaml").write_text("", "utf-8"), id="settings"),
        pytest.param(lambda: 1 / 0, id="a fault of ours"),
    ],
)
def test_a_report_that_fails_leaves_the_last_one(
    root: Path, reported: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], object]
) -> None:
    shutil.copytree(reported / RESULTS, root / RESULTS, dirs_exist_ok=True)
    before = report_files(root)

    def broken(*_: object) -> str:
        fault()
        return "<html>Another</html>"

    monkeypatch.setattr(contents, "render_report", broken)
    with pytest.raises((SystemExit, ZeroDivisionError)):
        report.main()
    assert report_files(root) == before


def report_files(root: Path) -> dict[str, bytes]:
    """Every file of the report, with what may be left beside it."""
    folder = root / "results"
    tables = [path for path in (folder / "tables").rglob("*") if path.is_file()]
    files = [folder / "metrics.json", folder / "report.html", *tables]
    hidden = folder.glob(".*")
    return {str(path): path.read_bytes() for path in [*files, *hidden]}


def test_the_command_says_what_the_page_begins_with(root: Path) -> None:
    (root / PAGE).touch()
    result = CliRunner().invoke(app, ["report"])
    assert result.exit_code == 0, result.output
    printed = " ".join(result.stdout.split())
    results = {SPLIT: read_results(root / results_dir(SPLIT))}
    rows = comparisons(results, SPLIT)
    for subject, said in sentences(rows, results[SPLIT].run["n_groups"]).items():
        assert f"{subject}: {said}" in printed
    assert f"Selected masks: relative AUC in %, {SPLIT}, 90 objects" in printed
    for label, number_of_task in verdict_table(rows)[["label", "task"]].to_numpy():
        assert printed.count(f"{label} │") == 1 or label == "H_Θ, H_Xp, H_A, H_T"
        assert number_of_task in printed
    assert f"Page: {PAGE}" in printed


def test_the_page_begins_with_what_the_results_say(
    page: Element, results: dict[str, SplitResults]
) -> None:
    (main,) = page.iter("main")
    told = words(next(main.iter("section")))
    rows = comparisons(results, SPLITS[0])
    for subject, said in sentences(rows, results[SPLITS[0]].run["n_groups"]).items():
        assert f"{subject}: {said}" in told


def test_two_reports_are_equal_to_the_byte(best: Path) -> None:
    def outputs() -> dict[Path, bytes]:
        report.main()
        return {path: path.read_bytes() for path in best.rglob("*") if path.is_file()}

    assert outputs() == outputs()


def test_the_page_needs_no_network_and_its_links_lead_somewhere(drawn_page: Element) -> None:
    ids = [element.get("id", "") for element in drawn_page.iter() if element.get("id")]
    addresses = {element.get(name, "") for element in drawn_page.iter() for name in ("src", "href")}
    links = {address for address in addresses if address and not address.startswith("data:")}
    assert links
    assert links <= {f"#{i}" for i in ids}
    assert len(ids) == len(set(ids))
    figures = {
        f"{which}-{task}-{name}-{i}"
        for which, task, name, i in product(("curves", "all-curves"), TASKS, PROTOCOLS, (0, 1))
    }
    assert figures <= set(ids)
    assert {f"radar-{name}-{i}" for name, i in product(PROTOCOLS, (0, 1))} <= set(ids)
    assert [script.get("src") for script in drawn_page.iter("script")] == [None]


def test_what_knows_the_truth_is_marked_wherever_it_is_shown(page: Element) -> None:
    headings = {h2.get("id", ""): words(h2) for h2 in page.iter("h2")}
    of_use = ("selective", "calibration", "promises", "routing", "decisions")
    sections = ("overview", "curves", "radar", *of_use, "iou", "gallery", "correlation")
    for protocol, label in PROTOCOL_LABELS.items():
        own = {anchor: told for anchor, told in headings.items() if anchor.endswith(f"-{protocol}")}
        wanted = {*sections, "tokens"} if protocol == "best" else {*sections}
        assert {anchor.partition("-")[0] for anchor in own} == wanted
        mark = TRUTH_MARKS[protocol]
        assert all(told.startswith(f"{label}: ") and told.endswith(mark) for told in own.values())
        head = words(section(page, f"overview-{protocol}"))
        assert head.startswith(PROTOCOL_MEANINGS[protocol])
    assert TRUTH_MARKS["best"]
    assert not any(
        TRUTH_MARKS["best"] in told for i, told in headings.items() if not i.endswith("-best")
    )


def test_a_new_table_appears_in_its_section(undrawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("", "split", "task")
    new = [
        ReportTable(
            f"new_{part}_{{{kind}}}" if kind else f"new_{part}",
            lambda given, _: iou_table(given.results),
            f"New of {part}",
            section=part,
            caption=f"New ({kind})",
            across="model",
            is_by_protocol=is_by_protocol,
        )
        for part, kind, is_by_protocol in product(SECTIONS, kinds, (False, True))
    ]
    rows = (*REPORT_TABLES, *new)
    monkeypatch.setattr(catalogue, "REPORT_TABLES", rows)
    monkeypatch.setattr(contents, "REPORT_TABLES", rows)
    report.main()
    page = read_page(undrawn / PAGE)
    for part, end in product(SECTIONS, ("", *(f"-{protocol}" for protocol in PROTOCOLS))):
        captions = [words(table[0]) for table in section(page, part + end).iter("table")]
        counts = [sum(told.startswith(f"New ({kind})") for told in captions) for kind in kinds]
        assert counts == [1, 1, len(TASKS)]
        assert all("masks" in told for told in captions if end)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_margins_above_0_are_marked(
    page: Element, results: dict[str, SplitResults], protocol: str
) -> None:
    (table,) = (
        table
        for table in section(page, f"overview-{protocol}").iter("table")
        if words(table[0]).startswith("Margin")
    )
    margins = margin_table(of_protocol(results, protocol))
    expected = sum((margins[f"{split}_low"] > 0).sum() for split in SPLITS)
    assert expected
    marked = [cell for cell in table.iter("td") if "marked" in cell.get("class", "")]
    assert len(marked) == expected


def test_every_measure_and_its_equation_stand_in_the_glossary(page: Element) -> None:
    glossary = section(page, "glossary")
    told = {words(term): words(meaning) for term, meaning in glossary.iter("div")}
    symbols = {name: SYMBOLS[name] for name in (*UNTRAINED_MEASURES, *HEAD_MEASURES)}
    assert set(symbols.values()) <= set(told)
    assert not any("`" in meaning for meaning in told.values())
    assert {"SamScore", "best", "selected", "view", "prompt", "relative AUC", "margin"} <= set(told)
    equations = {symbols[name]: f"Eq. {n}" for name, n in EQUATIONS.items()}
    for term, equation in equations.items():
        assert equation in told[term]


@pytest.mark.usefixtures("brief")
def test_the_page_names_the_commit_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tuple(f"stages/{i}.py" for i in range(7))
    commit = Commit("0123456789ab", "2025-05-08", changed)
    given: list[contents.Contents] = []

    def keep(of: contents.Contents) -> str:
        given.append(of)
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(contents, "last_commit", lambda _: commit)
        patch.setattr(contents, "render_report", keep)
        report.main()
    (of_stage,) = given
    assert of_stage.commit == commit
    for found, expected in (
        (commit, "commit 0123456789ab of 2025-05-08, with changes to stages/0.py, "),
        (commit, "stages/4.py and 2 other files."),
        (replace(commit, changed=()), "commit 0123456789ab of 2025-05-08."),
        (None, "The commit of the code is unknown"),
    ):
        rendered = contents.render_report(replace(of_stage, commit=found))
        (header,) = parse_page(rendered).iter("header")
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
    results: dict[str, SplitResults], paper: DataSets, family: str, is_cautious: bool
) -> None:
    found = results["coco_val"]
    run = {**found.run, "entropy": found.run["entropy"] | {"family": family}}
    told = contents.unlike_paper({"coco_val": replace(found, run=run)}, paper)
    assert told == ({"coco_val": family} if is_cautious else {})


def test_names_are_escaped_in_the_page(best: Path) -> None:
    write_params(best, [SPLIT], train_splits=TRAIN_SPLITS, report={"title": "<b>&"})
    found = read_results(results_dir("coco_val"))
    heads = {"<i>train</i>": found.run["heads"]["coco_train"]}
    run = {**found.run, "heads": heads}
    renamed = {
        name: getattr(found, name).replace("coco_train", "<i>train</i>")
        for name in ("auc", "curves", "correlation")
    }
    keep = found.auc["train_split"] != "shapes_train"
    renamed["auc"] = renamed["auc"][keep]
    renamed["objects"] = found.objects.rename(
        columns=lambda name: name.replace("coco_train", "<i>train</i>")
    )
    write_split_results(results_dir("coco_val"), replace(found, **renamed, run=run))
    report.main()
    text = (best / "results" / "report.html").read_text(encoding="utf-8")
    assert "<title>&lt;b&gt;&amp;</title>" in text
    assert "<i>train" not in text.partition("<main>")[2]


def test_results_without_heads_are_reported(undrawn: Path) -> None:
    found = read_results(results_dir(SPLIT))
    correlation = found.correlation.drop(columns=list(HEAD_MEASURES))
    is_told = ~correlation["row"].isin(HEAD_MEASURES)
    correlation = correlation[is_told & (correlation["train_split"] == "coco_train")]
    untrained = replace(
        found,
        auc=found.auc[found.auc["train_split"] == ""],
        curves=found.curves[found.curves["train_split"] == ""],
        correlation=correlation.assign(train_split=""),
        run={**found.run, "heads": {}},
    )
    write_split_results(results_dir(SPLIT), untrained)
    report.main()
    text = (undrawn / "results/report.html").read_text("utf-8").partition("<main>")[2]
    # The gallery has still pictures of heads.
    assert "USAM" not in text.partition("<h3>Where")[0]
    n_rows = sum(name in UNTRAINED_MEASURES for name in TASK_MEASURES["segmentation"])
    # The highest SamScore is the SamScore of the selected mask.
    for protocol, n_fewer in {"best": 0, "selected": 1}.items():
        path = undrawn / "results/tables" / protocol / "table4_segmentation.csv"
        assert pd.read_csv(path).shape == (n_rows - n_fewer, 5)


def test_pictures_stand_in_the_page_with_their_words(page: Element, evaluated: Path) -> None:
    figures = [e for e in page.iter("figure") if e.get("class") == "picture"]
    n_galleries = len(PROTOCOLS) * len(SPLITS) * len(TASKS) * len(KINDS)
    assert len(figures) == (n_galleries + len(SPLITS)) * 2 * N_PICTURES
    by_anchor = {figure.get("id"): figure for figure in figures}
    assert len(by_anchor) == len(figures)
    sizes = zip(SPLITS, (60, 90), strict=True)
    for (split, n_objects), protocol in product(sizes, PROTOCOLS):
        table = read_gallery(evaluated / gallery_dir(split)).table
        table = table[table["protocol"] == protocol]
        shown = table[(table["task"] == "segmentation") & (table["rank"] == n_objects)]
        shown = shown[shown["end"] == "least"]
        for row in shown.to_dict("records"):
            own = row["measure"].removeprefix("usam")
            figure = by_anchor[f"picture-{protocol}-{split}-segmentation{own}-{n_objects}"]
            (image,) = figure.iter("img")
            assert image.get("src", "").startswith("data:image/webp;base64,")
            assert image.get("alt", "").startswith(f"Object {row['object_id']} of {row['file']}: ")
            (caption,) = figure.iter("figcaption")
            assert words(caption) == (
                f"{row['file']} , object {row['object_id']} {n_objects} of {n_objects} "
                f"{measure_label(row['measure'])}: {row['uncertainty']:.3f} "
                f"IoU {row['iou']:.2f} → 1.00"
            )


def test_without_trials_there_is_no_table_of_them(brief: Path) -> None:
    write_report_inputs(brief, [], TRAIN_SPLITS, n_trials=0)
    report.main()
    assert not (brief / "results" / "tables" / "table8_trials.csv").exists()
    assert 'id="trials"' not in (brief / "results" / "report.html").read_text(encoding="utf-8")


def test_trials_keep_their_digits(reported: Path) -> None:
    text = (reported / "results" / "tables" / "table8_trials.csv").read_text(encoding="utf-8")
    assert "coco_train,iou_tiny,1,0.012346,16,5,0.0003,0.5\n" in text
    assert text.count("\n") == 1 + len(TRAIN_SPLITS) * len(OBJECTIVES) * 3


def test_the_papers_numbers_stand_beside_a_split_that_is_its_data_set(
    reported_beside_paper: Path, drawn_page: Element
) -> None:
    folder = reported_beside_paper / "results" / "tables"
    table = pd.read_csv(folder / "best" / "table3_task.csv", keep_default_na=False)
    written = table.set_index(["measure", "trained_on"])["coco_val_paper"].to_dict()
    assert (written["h_a", ""], written["delta_a", "coco_train"]) == ("57.55", "94.85")
    assert written["delta_a", "shapes_train"] == ""
    assert "shapes_val_paper" not in table
    (header,) = drawn_page.iter("header")
    assert "which stand below ours of the best masks: COCO for coco_val, " in words(header)
    of_selected = [h2.get("id", "") for h2 in drawn_page.iter("h2")]
    of_selected = [anchor for anchor in of_selected if anchor.endswith("-selected")]
    told = " ".join(words(section(drawn_page, anchor)) for anchor in of_selected)
    assert not re.search(r"paper −?\d|The paper has", told)
    told = words(section(drawn_page, "correlation-best"))
    assert "The paper has numbers of COCO; they stand below ours." in told
    assert "The paper's Table 8: 70 trials" in words(section(drawn_page, "trials"))
    caption = "Relative AUC in %, selected masks (the paper's Table 3)"
    shown = tables(section(drawn_page, "curves-best"))[caption]
    found = dict(zip(shown["measure"], shown["coco_val"], strict=True))
    assert found["H_A"].endswith(" paper 57.5")


@pytest.mark.parametrize("family", ["mini", "sam2"])
def test_seconds_are_told_with_their_machine(brief: Path, family: str) -> None:
    write_runtime(brief / RUNTIME_PATH, draw_runtime(family))
    report.main()
    table = (brief / "results" / "tables" / "table7_runtime.csv").read_text(encoding="utf-8")
    numbers = "tiny,views5,1.2,1.15,1.25,0.584,1.2,1.15,1.25,4.78689,"
    assert (numbers in table) == (family == "sam2")
    assert table.count("Abacus 9,3,drawn scene,7\n") == len(MODELS) * len(METHOD_LABELS)
    runtime = section(read_page(brief / PAGE), "runtime")
    told = words(runtime)
    assert f"family {family}, fp32, median of 7 rounds on Abacus 9, 3 threads." in told
    assert "dvc repro -f -s runtime" in told
    (seconds,) = tables(runtime).values()
    ends = {"sam2": " paper 0.584 s, 4.79×", "mini": ""}
    assert (
        seconds["|T| = 5 views"].tolist()[0]
        == f"1.20 s 1.15–1.25 s 1.20× (1.15–1.25){ends[family]}"
    )
    assert ("RTX 3050 Ti" in told) == (family == "sam2")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    "path",
    [
        results_dir("coco_val") / "curves.csv",
        trials_path("coco_train", "iou_tiny"),
    ],
)
def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    path.unlink()
    with pytest.raises(SystemExit):
        report.main()
    assert str(path) in capsys.readouterr().err


def test_every_name_has_words_and_every_curve_a_colour() -> None:
    assert set(TASK_LABELS) == set(CORRECTIONS) == set(TASKS)
    drawn = {name for names in TASK_MEASURES.values() for name in names}
    lines = {line.name for line in RADAR_LINES}
    assert set(COLOURS) == {*BOUNDS, *drawn, *lines}
    assert set(SYMBOLS) == {*UNTRAINED_MEASURES, *HEAD_MEASURES, *lines}
    assert set(PROTOCOL_LABELS) == set(PROTOCOL_MEANINGS) == set(TRUTH_MARKS) == set(PROTOCOLS)
    assert list(METHOD_LABELS) == list(METHODS)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.95, 1.02, "as the model alone"),
        (1.0, 1.05, "as the model alone"),
        (1.01, 1.05, "1.02× (1.01–1.05)"),
        (0.8, 0.9, "1.02× (0.80–0.90)"),
    ],
)
def test_a_difference_within_the_interval_is_not_shown_as_one(
    low: float, high: float, words: str
) -> None:
    assert timed_ratio({"ratio": 1.02, "ratio_low": low, "ratio_high": high}) == words
