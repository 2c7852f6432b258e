"""The stage ``report``: tables, metrics, and a page that needs no network."""

import base64
import json
import re
import shutil
import sys
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
from stages.page.verdict import comparisons, sentences, verdict_table
from stages.tables.auc import RADAR_LINES, margin_table
from stages.tables.catalogue import number_formats
from stages.tables.paper import DataSets
from stages.tables.report_table import of_protocol
from storage.outputs.results import SplitResults, read_gallery, read_results, write_runtime
from storage.paths import HEADS, RESULTS, RUNTIME_PATH, gallery_dir, results_dir
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS, write_params
from tests.fixtures.html_page import read_page, section, tables, words
from tests.fixtures.mini import MODELS, OBJECTIVES
from tests.fixtures.report_inputs import N_PICTURES, draw_runtime, write_split_results

PAGE: Final = RESULTS / "report.html"


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


ABSENT: Final = {"best/mask_sets", "selected/table6_token_ablation", "selected/token_margin"}
"""Heads without a token are of the best masks alone, and sets of a user's."""


def test_the_stage_writes_tables_metrics_and_page(
    reported: Path, results: dict[str, SplitResults]
) -> None:
    folder = reported / "results" / "tables"
    tables = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.csv")}
    assert tables == number_formats(results).keys() - ABSENT
    assert tables > {"iou", "table8_trials", "best/table1_model", "selected/table12_prompt_auc"}
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


def test_a_report_that_fails_leaves_the_last_one(
    root: Path, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(reported / RESULTS, root / RESULTS, dirs_exist_ok=True)
    before = report_files(root)

    def broken(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(contents, "render_report", broken)
    with pytest.raises(ZeroDivisionError):
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
    for protocol, label in PROTOCOL_LABELS.items():
        own = [told for anchor, told in headings.items() if anchor.endswith(f"-{protocol}")]
        mark = TRUTH_MARKS[protocol]
        assert own
        assert all(told.startswith(f"{label}: ") and told.endswith(mark) for told in own)
        head = words(section(page, f"overview-{protocol}"))
        assert head.startswith(PROTOCOL_MEANINGS[protocol])
    assert TRUTH_MARKS["best"]
    assert not TRUTH_MARKS["selected"]


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


def test_every_measure_stands_in_the_glossary(page: Element) -> None:
    told = {words(term) for term, _ in section(page, "glossary").iter("div")}
    assert {SYMBOLS[name] for name in (*UNTRAINED_MEASURES, *HEAD_MEASURES)} <= told


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


def test_pictures_stand_in_the_page_with_their_words(page: Element, evaluated: Path) -> None:
    figures = [e for e in page.iter("figure") if e.get("class") == "picture"]
    n_galleries = len(PROTOCOLS) * len(SPLITS) * len(TASKS) * len(KINDS)
    assert len(figures) == (n_galleries + len(SPLITS)) * 2 * N_PICTURES
    by_anchor = {figure.get("id"): figure for figure in figures}
    assert len(by_anchor) == len(figures)
    sources = {image.get("id"): image.get("href") for image in page.iter("image")}
    sizes = zip(SPLITS, (60, 90), strict=True)
    for (split, n_objects), protocol in product(sizes, PROTOCOLS):
        gallery = read_gallery(evaluated / gallery_dir(split))
        table = gallery.table[gallery.table["protocol"] == protocol]
        shown = table[(table["task"] == "segmentation") & (table["rank"] == n_objects)]
        shown = shown[shown["end"] == "least"]
        for row in shown.to_dict("records"):
            own = row["measure"].removeprefix("usam")
            figure = by_anchor[f"picture-{protocol}-{split}-segmentation{own}-{n_objects}"]
            (image,) = figure.iter("svg")
            assert image.get("aria-label", "").startswith(
                f"Object {row['object_id']} of {row['file']}: "
            )
            picture = base64.b64encode(gallery.pictures[row["picture"]]).decode("ascii")
            source = sources[image[0].get("href", "").removeprefix("#")]
            assert source == f"data:image/webp;base64,{picture}"
            (caption,) = figure.iter("figcaption")
            assert words(caption) == (
                f"{row['file']} , object {row['object_id']} {n_objects} of {n_objects} "
                f"{measure_label(row['measure'])}: {row['uncertainty']:.3f} "
                f"IoU {row['iou']:.2f} → 1.00"
            )


def test_a_picture_that_several_sections_show_stands_once(page: Element, evaluated: Path) -> None:
    galleries = [read_gallery(evaluated / gallery_dir(split)) for split in SPLITS]
    shown = [picture for gallery in galleries for picture in gallery.pictures.values()]
    assert len(list(page.iter("image"))) == len(set(shown)) < len(shown)


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


def test_seconds_are_told_with_their_machine(brief: Path) -> None:
    write_runtime(brief / RUNTIME_PATH, draw_runtime("sam2"))
    report.main()
    table = (brief / "results" / "tables" / "table7_runtime.csv").read_text(encoding="utf-8")
    assert "tiny,views5,1.2,1.15,1.25,0.584,1.2,1.15,1.25,4.78689," in table
    assert table.count("Abacus 9,3,drawn scene,7\n") == len(MODELS) * len(METHOD_LABELS)
    runtime = section(read_page(brief / PAGE), "runtime")
    told = words(runtime)
    assert "family sam2, fp32, median of 7 rounds on Abacus 9, 3 threads." in told
    (seconds,) = tables(runtime).values()
    said = "1.20 s 1.15–1.25 s 1.20× (1.15–1.25) paper 0.584 s, 4.79×"
    assert seconds["|T| = 5 views"].tolist()[0] == said


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
