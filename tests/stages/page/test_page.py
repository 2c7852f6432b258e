"""The report in a real browser: on a desk, on a phone, and in the dark."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from pipeline.scoring.measures import HEAD_MEASURES, TASK_MEASURES
from pipeline.scoring.tasks import BOUNDS
from pipeline.vocabulary import MODELS, OBJECTIVES, TASKS
from stages import report
from stages.tables.auc import overview_table
from stages.tables.catalogue import REPORT_TABLES
from stages.tables.radar import RADAR_LINES
from storage.outputs.results import read_results
from storage.paths import RESULTS, results_dir
from tests.fixtures.browser import Seen, find_browser, look_at
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS, evaluate_splits, write_params
from tests.fixtures.report_inputs import N_PICTURES, write_report_inputs

PHONE_PX: Final = 390
DESK_PX: Final = 1280

QUESTION: Final = """async () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  await new Promise((done) => setTimeout(done, 1000));
  const section = (element) => [...document.querySelectorAll("h2")].findLast(
    (h2) => h2.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING).textContent;
  const colours = (element) => {
    const style = getComputedStyle(element);
    return [style.color, style.backgroundColor];
  };
  const first = document.querySelector("table.sortable");
  const column = (place) => [...first.tBodies[0].rows].map((row) => row.cells[place]);
  const values = () => column(3).map((cell) => Number(cell.dataset.value));
  const states = () => [...first.tHead.rows[0].cells].map((th) => th.getAttribute("aria-sort"));
  const press = (place) => first.tHead.rows[0].cells[place].querySelector("button").click();
  const sorts = [[null, values(), states()]];
  for (const place of [3, 3, 0]) { press(place); sorts.push([place, values(), states()]); }
  const labels = column(0).map((cell) => cell.textContent.trim());
  const shown = (element) => {
    const box = element.getBoundingClientRect();
    return [box.width, box.left >= 0 && box.right <= innerWidth, box.top >= 0];
  };
  const key = (name) => document.dispatchEvent(new KeyboardEvent("keydown", { key: name }));
  const picture = document.querySelector(".picture");
  const pictures = [shown(picture.querySelector("img"))];
  picture.querySelector("a.enlarge").click();
  await new Promise((done) => setTimeout(done, 200));
  pictures.push(shown(picture.querySelector("img")));
  const targets = [location.hash];
  for (const name of ["ArrowRight", "ArrowLeft", "ArrowLeft", "Escape"]) {
    key(name);
    targets.push(location.hash);
  }
  const focused = document.activeElement.hash;
  const curve = document.querySelector("#curves-task-0");
  Plotly.Fx.hover(curve, [{ curveNumber: 3, pointNumber: 10 }]);
  await new Promise((done) => setTimeout(done, 500));
  return {
    tables: [...document.querySelectorAll("table")].map(
      (table) => [section(table), table.tBodies[0].rows.length]),
    overflow_px: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    wide: [...document.querySelectorAll(".card > *")].filter(
      (part) => part.getBoundingClientRect().right > innerWidth).length,
    figures: [...document.querySelectorAll(".figure")].map((figure) => {
      const svg = figure.querySelector("svg.main-svg").getBoundingClientRect();
      const box = figure.getBoundingClientRect();
      return {
        lines: figure.querySelectorAll(".trace path.js-line").length,
        excess_px: Math.max(svg.width - box.width, svg.height - box.height),
        share: svg.width / box.width,
      };
    }),
    pictures: [...document.images].map((image) => [image.naturalWidth, image.alt]),
    card: colours(document.querySelector(".card")).concat(colours(document.body)),
    unlabelled: [...document.querySelectorAll("th button")].filter(
      (button) => !button.textContent.trim()).length,
    sorts, labels, enlarged: pictures, targets, focused,
    unnamed: [...document.querySelectorAll(".scroll[tabindex]")].filter(
      (part) => !part.ariaLabel).length,
    n_scrolling: document.querySelectorAll(".scroll[tabindex]").length,
    hover: [...curve.querySelectorAll(".hovertext text")].map((text) => text.textContent),
  };
}"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose two splits are reported on, one of them as the paper's COCO."""
    find_browser()
    root = tmp_path_factory.mktemp("reported")
    evaluate_splits(root)
    write_report_inputs(root, SPLITS, TRAIN_SPLITS)
    paper = {"coco_val": "COCO", "coco_train": "COCO"}
    settings = {"title": "A test", "paper": paper}
    write_params(root, SPLITS, train_splits=TRAIN_SPLITS, report=settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(sys, "argv", ["report"])
        report.main()
    return root


@pytest.fixture(
    scope="module",
    params=[(DESK_PX, False), (PHONE_PX, False), (PHONE_PX, True)],
    ids=["desk", "phone", "dark phone"],
)
def view(request: pytest.FixtureRequest) -> tuple[int, bool]:
    """Width of the page in pixels, and whether the reader likes it dark."""
    width_px, is_dark = request.param
    return width_px, is_dark


@pytest.fixture(scope="module")
def seen(root: Path, view: tuple[int, bool], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The page as it is seen."""
    width_px, is_dark = view
    folder = tmp_path_factory.mktemp("browser")
    page = root / RESULTS / "report.html"
    return look_at(page, QUESTION, folder, width_px=width_px, is_dark=is_dark)


def test_the_console_stays_silent(seen: Seen) -> None:
    assert seen.console == []


def test_every_table_is_there(seen: Seen) -> None:
    n_splits, n_heads = len(SPLITS), len(TRAIN_SPLITS)
    assert Counter(section for section, _ in seen.answer["tables"]) == {
        "Relative AUC": n_splits + 1,
        "Correction curves": 2 * len(TASKS),
        "All four corrections at once": n_splits,
        "Heads of other tokens": sum(row.section == "tokens" for row in REPORT_TABLES),
        # That of the views has a second grid, of differences.
        "Mean IoU": sum(row.section == "iou" for row in REPORT_TABLES) + 1,
        "Pearson correlation": n_splits * len(MODELS) * n_heads,
        # The paper's own is the last.
        "Search for hyperparameters": n_heads * len(OBJECTIVES) + 1,
        "Runtime": 1,
        "What was run": n_splits + n_heads,
    }
    assert all(n_rows for _, n_rows in seen.answer["tables"])


def test_every_figure_is_drawn_as_wide_as_its_card(seen: Seen) -> None:
    figures, n_heads = seen.answer["figures"], len(TRAIN_SPLITS)
    n_curves = [
        len(BOUNDS)
        + len(TASK_MEASURES[task])
        + sum(name in HEAD_MEASURES for name in TASK_MEASURES[task])
        for task in TASKS
    ]
    expected = [n for n in n_curves for _ in SPLITS]
    n_lines = sum(n_heads if line.needs_heads else 1 for line in RADAR_LINES)
    assert [figure["lines"] for figure in figures] == [*expected, *[n_lines] * len(SPLITS)]
    for figure in figures:
        assert figure["excess_px"] <= 1
        assert figure["share"] > 0.95


def test_nothing_is_wider_than_the_page(seen: Seen) -> None:
    assert seen.answer["overflow_px"] == 0
    assert seen.answer["wide"] == 0


def test_every_picture_is_shown_and_described(seen: Seen) -> None:
    pictures: list[Any] = seen.answer["pictures"]
    assert len(pictures) == len(SPLITS) * len(TASKS) * 2 * N_PICTURES
    assert all(width == 32 and words for width, words in pictures)


def test_the_page_is_dark_where_the_reader_likes_it(seen: Seen, view: tuple[int, bool]) -> None:
    _, is_dark = view
    for colour, is_light in zip(seen.answer["card"], [is_dark, not is_dark] * 2, strict=True):
        red = int(colour.partition("(")[2].split(",")[0])
        assert (red > 127) == is_light


def test_a_press_on_the_head_of_a_column_sorts(seen: Seen, root: Path) -> None:
    start, falling, rising, named = seen.answer["sorts"]
    found = {SPLITS[0]: read_results(root / results_dir(SPLITS[0]))}
    expected = overview_table(found, SPLITS[0])["task"]
    # JSON has no NaN: it comes as null.
    for (_, values, _), ordered in (
        (start, expected),
        (falling, expected.sort_values(ascending=False)),
        (rising, expected.sort_values()),
    ):
        np.testing.assert_allclose(np.array(values, float), ordered)
    assert [state for _, _, state in seen.answer["sorts"]] == [
        [None] * 5,
        [None, None, None, "descending", None],
        [None, None, None, "ascending", None],
        ["ascending", None, None, None, None],
    ]
    assert named[1] != rising[1]
    labels = seen.answer["labels"]
    assert labels[:3] == sorted(labels)[:3]
    assert seen.answer["unlabelled"] == 0


def test_a_click_enlarges_a_picture_and_keys_lead_on_and_back(seen: Seen) -> None:
    (small_px, *_), (large_px, is_inside, is_below_top) = seen.answer["enlarged"]
    assert large_px > 2 * small_px
    assert is_inside
    assert is_below_top
    first, second = (f"#picture-{SPLITS[0]}-model-{rank}" for rank in (1, 2))
    card = f"#gallery-{SPLITS[0]}-model"
    # The first picture has none before it.
    assert seen.answer["targets"] == [first, second, first, first, card]
    assert seen.answer["focused"] == first


def test_what_is_wider_than_a_phone_is_scrolled_by_keys(seen: Seen, view: tuple[int, bool]) -> None:
    assert seen.answer["unnamed"] == 0
    if view[0] == PHONE_PX:
        assert seen.answer["n_scrolling"] > len(TASKS)


def test_a_curve_tells_its_values(seen: Seen) -> None:
    (text,) = seen.answer["hover"]
    assert "1 − SamScore" in text
    assert "50% corrected: mean IoU 0." in text
