"""The stage ``report``: tables, metrics, and a page that needs no network."""

import base64
import json
import re
import shutil
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

import pytest
from typer.testing import CliRunner

from pipeline.runtime import METHODS
from pipeline.scoring.measures import BOUNDS, HEAD_MEASURES, TASK_MEASURES, UNTRAINED_MEASURES
from pipeline.scoring.people import PLAN
from pipeline.vocabulary import PROTOCOLS, TASKS
from stages import report
from stages.cli.app import app
from stages.page import render as contents
from stages.page.labels import (
    COLOURS,
    CORRECTION_SENTENCES,
    METHOD_LABELS,
    PROTOCOL_LABELS,
    PROTOCOL_MEANINGS,
    SYMBOLS,
    TASK_LABELS,
    TRUTH_MARKS,
    interval,
    number,
    timed_ratio,
)
from stages.page.people import verdicts
from stages.page.verdict import cautions, comparisons, sentences, undecided, verdict_table
from stages.tables.catalogue import number_formats
from stages.tables.paper import DataSets
from stages.tables.special_tables import RADAR_LINES
from storage.outputs.results import SplitResults, read_gallery, read_results
from storage.paths import HEADS, RESULTS, gallery_dir, results_dir
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS, report_on, undrawn, write_params
from tests.fixtures.extract_project import files_of, run
from tests.fixtures.html_page import read_page, section, words
from tests.fixtures.mini import MODELS
from tests.fixtures.report_inputs import N_PICTURES

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
    return tmp_path


OF_PEOPLE: Final = ("people", "people_iou", "people_drawn", "people_iou_drawn")

ABSENT: Final = {
    *("best/mask_sets", "best/better_masks", "best/better_masks_objects"),
    *(f"best/annotations_{split}" for split in SPLITS),
    *("selected/table6_token_ablation", "selected/token_margin"),
    *(f"best/{name}_{split}" for name in OF_PEOPLE for split in SPLITS),
    *(f"selected/{name}_{SPLITS[0]}" for name in OF_PEOPLE),
}
"""Heads without a token are of the best masks alone; sets, other masks, doubted annotations and
what people see are of a user's masks. Several persons divided the images of one split alone."""


def test_the_stage_writes_tables_metrics_and_page(
    reported: Path, results: dict[str, SplitResults]
) -> None:
    folder = reported / "results" / "tables"
    tables = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.csv")}
    assert tables == number_formats(results).keys() - ABSENT
    assert tables > {"iou", "table8_trials", "best/table1_model", "selected/table12_prompt_auc"}
    told = json.loads((reported / "results" / "metrics.json").read_text(encoding="utf-8"))
    assert list(told) == list(SPLITS)
    assert {tuple(of_split) for of_split in told.values()} == {("mean_iou", *TASKS)}
    assert (reported / "results" / "report.html").exists()


def test_a_report_that_fails_leaves_the_last_one(
    root: Path, reported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(reported / RESULTS, root / RESULTS, dirs_exist_ok=True)
    before = result_files(root)

    def broken(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(contents, "render_report", broken)
    monkeypatch.setattr(report, "report_tables", lambda _: {})
    with pytest.raises(ZeroDivisionError):
        run(report)
    assert result_files(root) == before


def result_files(root: Path) -> dict[str, bytes]:
    """Files of the report and what it was made of, with what may be left beside them."""
    with chdir(root):
        return files_of(RESULTS)


def test_the_command_says_what_the_page_begins_with(root: Path) -> None:
    (root / PAGE).touch()
    result = CliRunner().invoke(app, ["report"])
    assert result.exit_code == 0, result.output
    printed = " ".join(result.stdout.split())
    results = {SPLIT: read_results(root / results_dir(SPLIT))}
    rows = comparisons(results, SPLIT)
    open_subjects = undecided(rows)
    assert "; ".join(open_subjects) in printed
    for subject, said in sentences(rows, results[SPLIT].run["n_groups"]).items():
        assert (f"{subject}: {said}" in printed) == (subject not in open_subjects)
    assert f"Selected masks: relative AUC in %, {SPLIT}" in printed
    for label, number_of_task in verdict_table(rows)[["label", "task"]].to_numpy():
        # Long labels are broken into lines.
        assert printed.count(f"{label} │") == 1 or len(label) > 16
        assert number_of_task in printed
    assert f"Page: {PAGE}" in printed


def test_the_command_prints_every_caution_of_the_page(
    reported_beside_paper: Path, drawn_page: Element, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(reported_beside_paper)
    printed = " ".join(CliRunner().invoke(app, ["report"]).stdout.split())
    notes = [words(note) for note in drawn_page.iter("p") if note.get("role") == "note"]
    # Of drawn shapes, and of the paper's numbers beside others.
    assert len(notes) == 2
    assert printed.count("Caution: ") == len(notes)
    for note in notes:
        assert f"Caution: {note}" in printed


@pytest.mark.no_cover
def test_two_reports_are_equal_to_the_byte(evaluated: Path, reported: Path, tmp_path: Path) -> None:
    # Without figures, which tests/test_repro.py draws anew and compares.
    with undrawn():
        report_on(evaluated, tmp_path)
    assert result_files(tmp_path) == result_files(reported)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["page", "drawn_page"])
def test_the_page_needs_no_network_and_its_links_lead_somewhere(
    name: str, request: pytest.FixtureRequest
) -> None:
    page: Element = request.getfixturevalue(name)
    ids = [element.get("id", "") for element in page.iter() if element.get("id")]
    addresses = {element.get(name, "") for element in page.iter() for name in ("src", "href")}
    links = {address for address in addresses if address and not address.startswith("data:")}
    assert links
    assert links <= {f"#{i}" for i in ids}
    assert len(ids) == len(set(ids))
    assert [script.get("src") for script in page.iter("script")] == [None]


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


def test_what_people_see_stands_where_several_persons_divided_the_images(
    page: Element, results: dict[str, SplitResults]
) -> None:
    several, one = (results[split] for split in SPLITS[::-1])
    rows = verdicts(several.scores, TRAIN_SPLITS[0])
    assert len(rows) == len(MODELS) * sum(map(len, PLAN.values()))
    assert verdicts(one.scores, TRAIN_SPLITS[0]).empty
    told = words(section(page, "people-selected"))
    assert f"over the {len(rows)} tests" in told
    _, _, plan = (ROOT / "docs" / "method.md").read_text("utf-8").partition("### The plan")
    assert "photographs of `bsds_test` in `params/photographs.yaml`" in plan
    assert "about the photographs of bsds_test alone: on other images, its tests describe" in told
    assert (SPLITS[1] in told, SPLITS[0] in told) == (True, False)
    for row in rows.to_dict("records"):
        assert (
            f"{number(100 * row['value'])} {interval(100 * row['low'], 100 * row['high'], 1)} "
            in (told)
        )
    assert [element for element in page.iter() if element.get("id") == "people-best"] == []


def test_every_measure_stands_in_the_glossary(page: Element) -> None:
    told = {words(term) for term, _ in section(page, "glossary").iter("div")}
    assert {SYMBOLS[name] for name in (*UNTRAINED_MEASURES, *HEAD_MEASURES)} <= told


@pytest.mark.parametrize(
    ("paper", "family", "is_cautious"),
    [
        ({"coco_val": "COCO"}, "mini", True),
        ({"coco_val": "COCO"}, "sam2", False),
        ({"coco_train": "COCO"}, "mini", False),
    ],
)
def test_another_family_beside_the_papers_numbers_is_told(
    results: dict[str, SplitResults], paper: DataSets, family: str, is_cautious: bool
) -> None:
    found = results["coco_val"]
    run = {**found.run, "entropy": found.run["entropy"] | {"family": family}}
    told = " ".join(cautions({"coco_val": replace(found, run=run)}, paper))
    assert (f"those of coco_val here of {family}. A difference" in told) == is_cautious
    assert ("They ran on coco_val." in told) == (family == "mini")


def test_calibration_names_what_it_shows_as_predicted_iou(drawn_page: Element) -> None:
    for protocol in PROTOCOLS:
        told = words(section(drawn_page, f"calibration-{protocol}"))
        assert "USAM" in told
        assert "1 − " not in told


def test_colours_of_correlations_and_lines_are_classes_of_the_page(page: Element) -> None:
    (style,) = page.iter("style")
    cells = [td for name in PROTOCOLS for td in section(page, f"correlation-{name}").iter("td")]
    assert all(td.get("style") is None for td in cells)
    swatches = [span.get("class", "").split() for span in page.iter("span")]
    used = {f".{td.get('class')}" for td in cells if td.get("class")}
    used |= {".".join(["", *names[:2]]) for names in swatches if "swatch" in names}
    assert used > {".r20", ".swatch.h_std", ".swatch.usam"}
    assert all(f"{name} {{ " in str(style.text) for name in used)


def test_the_title_is_escaped(reported: Path) -> None:
    assert "<title>&lt;A&gt; &amp; test</title>" in (reported / PAGE).read_text("utf-8")


def test_each_picture_stands_once_and_where_its_object_is_named(
    page: Element, evaluated: Path
) -> None:
    galleries = [read_gallery(evaluated / gallery_dir(split)) for split in SPLITS]
    shown = [picture for gallery in galleries for picture in gallery.pictures.values()]
    sources = {image.get("id"): image.get("href") for image in page.iter("image")}
    assert len(sources) == len(list(page.iter("image"))) == len(set(shown)) < len(shown)
    by_anchor = {figure.get("id"): figure for figure in page.iter("figure")}
    for gallery, split in zip(galleries, SPLITS, strict=True):
        rows = gallery.table[gallery.table["measure"] == "usam"]
        for row in rows.to_dict("records"):
            anchor = f"picture-{row['protocol']}-{split}-segmentation-{row['rank']}"
            (image,) = by_anchor[anchor].iter("svg")
            of_object = f"Object {row['object_id']} of {row['file']}: "
            assert image.get("aria-label", "").startswith(of_object)
            picture = base64.b64encode(gallery.pictures[row["picture"]]).decode("ascii")
            source = sources[image[0].get("href", "").removeprefix("#")]
            assert source == f"data:image/webp;base64,{picture}"


@pytest.mark.no_cover
def test_a_gallery_that_was_drawn_from_other_results_shows_their_numbers(root: Path) -> None:
    (other,) = set(SPLITS) - {SPLIT}
    shutil.copytree(gallery_dir(other), gallery_dir(SPLIT), dirs_exist_ok=True)
    with undrawn():
        run(report)
    told = words(read_page(root / PAGE))
    drawn = read_results(results_dir(other)).annotations.head(N_PICTURES)
    for heading, ious in (("expected", drawn["expected_iou"]), ("reached", drawn["iou"])):
        assert re.findall(rf"{heading} IoU (\d\S+)", told) == [f"{iou:.2f}" for iou in ious]


def test_the_papers_numbers_stand_beside_a_split_that_is_its_data_set(
    drawn_page: Element,
) -> None:
    (header,) = drawn_page.iter("header")
    assert "which stand below ours of the best masks: COCO for coco_val, " in words(header)
    # H_Std in the paper's Table 3.
    assert "paper 74.6" in words(section(drawn_page, "curves-best"))
    of_selected = [h2.get("id", "") for h2 in drawn_page.iter("h2")]
    of_selected = [anchor for anchor in of_selected if anchor.endswith("-selected")]
    told = " ".join(words(section(drawn_page, anchor)) for anchor in of_selected)
    assert not re.search(r"paper −?\d|The paper has", told)


def test_every_name_has_words_and_every_curve_a_colour() -> None:
    assert set(TASK_LABELS) == set(CORRECTION_SENTENCES) == set(TASKS)
    drawn = {name for names in TASK_MEASURES.values() for name in names}
    lines = {line.name for line in RADAR_LINES}
    assert set(COLOURS) == {*BOUNDS, *drawn, *lines}
    assert set(SYMBOLS) == {*UNTRAINED_MEASURES, *HEAD_MEASURES, *lines}
    assert set(PROTOCOL_LABELS) == set(PROTOCOL_MEANINGS) == set(TRUTH_MARKS) == set(PROTOCOLS)
    assert list(METHOD_LABELS) == list(METHODS)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (1.0, 1.05, "as the model alone"),
        (1.01, 1.05, "1.02× (1.01–1.05)"),
    ],
)
def test_a_difference_within_the_interval_is_not_shown_as_one(
    low: float, high: float, words: str
) -> None:
    assert timed_ratio({"ratio": 1.02, "ratio_low": low, "ratio_high": high}) == words
