"""The report in a real browser: on a desk, on a phone, and in the dark."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pytest
from playwright.sync_api import Browser

from pipeline.heads.kinds import KINDS
from pipeline.scoring.measures import BY_NAME, HEAD_MEASURES, TASK_MEASURES
from pipeline.vocabulary import MODELS, OBJECTIVES, PROTOCOLS, TASKS
from stages.tables.auc import RADAR_LINES, overview_table
from stages.tables.catalogue import REPORT_TABLES
from stages.tables.report_table import of_protocol
from storage.outputs.results import SplitResults
from storage.paths import RESULTS
from tests.fixtures.chromium import chromium
from tests.fixtures.eval_split import SPLITS, TRAIN_SPLITS
from tests.fixtures.report_inputs import N_PICTURES

PHONE_PX: Final = 390
DESK_PX: Final = 1280
HEIGHT_PX: Final = 900

N_BOUNDS: Final = 2
"""The band from the worst order to the oracle's, and the random order."""

OF_USE: Final = ("selective", "calibration", "promises", "routing")
"""Sections of what measures are good for."""

QUESTION: Final = """async () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  await new Promise((done) => setTimeout(done, 1000));
  const section = (element) => [...document.querySelectorAll("h2")].findLast(
    (h2) => h2.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING).id;
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
  return {
    tables: [...document.querySelectorAll("table")].map(
      (table) => [section(table), table.tBodies[0].rows.length]),
    overflow_px: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    wide: [...document.querySelectorAll(".card > *")].filter(
      (part) => part.getBoundingClientRect().right > innerWidth).length,
    held: Math.max(...[...document.querySelectorAll(".scroll tbody th:first-child")].map(
      (name) => name.getBoundingClientRect().width / name.closest(".scroll").clientWidth)),
    figures: [...document.querySelectorAll(".figure")].map((figure) => {
      const svg = figure.querySelector("svg").getBoundingClientRect();
      const box = figure.getBoundingClientRect();
      return {
        lines: [...figure.querySelectorAll(".line > title")].map((title) => title.textContent),
        words: Math.min(...[...figure.querySelectorAll("text")].map(
          (text) => text.getBoundingClientRect().height)),
        cut: [...figure.querySelectorAll("text")].filter((text) => {
          const [box, own] = [figure, text].map((part) => part.getBoundingClientRect());
          return own.left < box.left || own.right > box.right;
        }).map((text) => text.textContent),
        colour: getComputedStyle(figure.querySelector("text")).fill,
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
    marks: [...document.querySelectorAll("h2 .truth")].map((mark) => shown(mark)[0]),
    links: [...document.querySelectorAll("nav p")].map((row) => row.getBoundingClientRect().height),
  };
}"""


@pytest.fixture(
    scope="module",
    params=[(DESK_PX, False), (PHONE_PX, False), (PHONE_PX, True)],
    ids=["desk", "phone", "dark phone"],
)
def view(request: pytest.FixtureRequest) -> tuple[int, bool]:
    """Width of the page in pixels, and whether the reader likes it dark."""
    width_px, is_dark = request.param
    return width_px, is_dark


@dataclass(frozen=True)
class Seen:
    """The page in a browser."""

    answer: dict[str, Any]
    """What it answers to ``QUESTION``."""
    console: list[str]
    """What it wrote there."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def seen(browser: Browser, reported_beside_paper: Path, view: tuple[int, bool]) -> Seen:
    """The page as it is seen."""
    width_px, is_dark = view
    scheme: Literal["dark", "light"] = "dark" if is_dark else "light"
    page = browser.new_page(viewport={"width": width_px, "height": HEIGHT_PX}, color_scheme=scheme)
    console: list[str] = []
    page.on("console", lambda message: console.append(message.text))
    page.on("pageerror", lambda error: console.append(str(error)))
    page.goto((reported_beside_paper / RESULTS / "report.html").as_uri())
    answer = page.evaluate(QUESTION)
    page.close()
    return Seen(answer, console)


def test_the_console_stays_silent(seen: Seen) -> None:
    assert seen.console == []


def test_every_table_is_there(seen: Seen) -> None:
    n_splits, n_heads = len(SPLITS), len(TRAIN_SPLITS)
    of_iou = [row for row in REPORT_TABLES if row.section == "iou"]
    n_of_protocol = sum(row.is_by_protocol for row in of_iou)
    n_of_routing = sum(row.section == "routing" for row in REPORT_TABLES)
    assert Counter(section for section, _ in seen.answer["tables"]) == {
        **{f"overview-{protocol}": n_splits + 1 for protocol in PROTOCOLS},
        **{f"curves-{protocol}": 2 * len(TASKS) for protocol in PROTOCOLS},
        **{f"radar-{protocol}": n_splits for protocol in PROTOCOLS},
        **{
            f"{name}-{protocol}": sum(row.section == name for row in REPORT_TABLES)
            for name in OF_USE
            for protocol in PROTOCOLS
        },
        # That of decisions has a second grid, of differences.
        **{f"routing-{protocol}": 1 + n_of_routing for protocol in PROTOCOLS},
        "tokens-best": sum(row.section == "tokens" for row in REPORT_TABLES),
        # That of the views has a second grid, of differences.
        **{f"iou-{protocol}": n_of_protocol + 1 for protocol in PROTOCOLS},
        **{f"correlation-{name}": n_splits * len(MODELS) * n_heads for name in PROTOCOLS},
        "iou": len(of_iou) - n_of_protocol,
        # The paper's own is the last.
        "trials": n_heads * len(OBJECTIVES) + 1,
        "runtime": 1,
        "run": n_splits + n_heads,
    }
    assert all(n_rows for _, n_rows in seen.answer["tables"])


def test_names_that_stay_in_view_leave_room_for_what_scrolls_beneath(seen: Seen) -> None:
    assert seen.answer["held"] < 0.6


def test_every_figure_is_drawn_as_wide_as_its_card(seen: Seen) -> None:
    figures = seen.answer["figures"]
    n_lines = []
    n_of_radar = sum(len(TRAIN_SPLITS) if line.needs_heads else 1 for line in RADAR_LINES)
    for protocol in PROTOCOLS:
        for task in TASKS:
            # The highest SamScore is that of the selected mask.
            is_twin = protocol == "selected" or task == "task"
            n_heads = sum(name in HEAD_MEASURES for name in TASK_MEASURES[task])
            n_measures = len(TASK_MEASURES[task]) - is_twin + n_heads
            n_lines += [N_BOUNDS + n_measures] * len(SPLITS)
        n_lines += [n_of_radar - (protocol == "selected")] * len(SPLITS)
        n_lines += [n for n in _lines_of_use(protocol) for _ in SPLITS]
    assert [len(figure["lines"]) for figure in figures] == n_lines
    for figure in figures:
        assert all(figure["lines"])
        assert figure["excess_px"] <= 1
        assert figure["share"] > 0.95


def test_words_of_a_figure_are_whole_legible_and_of_the_readers_colour(
    seen: Seen, view: tuple[int, bool]
) -> None:
    _, is_dark = view
    for figure in seen.answer["figures"]:
        assert figure["cut"] == []
        assert figure["words"] > 9
        red = int(figure["colour"].partition("(")[2].split(",")[0])
        assert (red > 127) == is_dark


def _lines_of_use(protocol: str) -> tuple[int, int, int]:
    """Lines of the figures of risk and coverage, reliability and routing."""
    is_selected = protocol == "selected"
    of_masks, of_model = (
        [name for name in TASK_MEASURES[task] if name != "sam_score_highest" or not is_selected]
        for task in ("segmentation", "model")
    )
    predicted = [name for name in BY_NAME if BY_NAME[name].predicted_iou]
    timed = [name for name in of_model if BY_NAME[name].timed_as]
    counts = [
        sum(len(TRAIN_SPLITS) if BY_NAME[name].needs_heads else 1 for name in names)
        for names in (of_masks, predicted, timed)
    ]
    # True predictions are a line, too.
    return N_BOUNDS + counts[0], 1 + counts[1] - is_selected, counts[2]


def test_every_mark_of_the_truth_is_to_be_seen(seen: Seen) -> None:
    assert seen.answer["marks"]
    assert all(width > 0 for width in seen.answer["marks"])


def test_the_contents_have_a_row_a_protocol_and_one_for_both(
    seen: Seen, view: tuple[int, bool]
) -> None:
    heights = seen.answer["links"]
    assert len(heights) == len(PROTOCOLS) + 1
    # A row is one line on a desk.
    assert (max(heights) < 40) == (view[0] == DESK_PX)


def test_nothing_is_wider_than_the_page(seen: Seen) -> None:
    assert seen.answer["overflow_px"] == 0
    assert seen.answer["wide"] == 0


def test_every_picture_is_shown_and_described(seen: Seen) -> None:
    pictures: list[Any] = seen.answer["pictures"]
    n_galleries = len(PROTOCOLS) * len(SPLITS) * len(TASKS) * len(KINDS)
    assert len(pictures) == n_galleries * 2 * N_PICTURES
    assert all(width == 32 and words for width, words in pictures)


def test_the_page_is_dark_where_the_reader_likes_it(seen: Seen, view: tuple[int, bool]) -> None:
    _, is_dark = view
    for colour, is_light in zip(seen.answer["card"], [is_dark, not is_dark] * 2, strict=True):
        red = int(colour.partition("(")[2].split(",")[0])
        assert (red > 127) == is_light


def test_a_press_on_the_head_of_a_column_sorts(
    seen: Seen, results: dict[str, SplitResults]
) -> None:
    start, falling, rising, named = seen.answer["sorts"]
    expected = overview_table(of_protocol(results, "best"), SPLITS[0])["task"]
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
    first, second = (f"#picture-best-{SPLITS[0]}-model-{rank}" for rank in (1, 2))
    card = f"#gallery-best-{SPLITS[0]}-model"
    # The first picture has none before it.
    assert seen.answer["targets"] == [first, second, first, first, card]
    assert seen.answer["focused"] == first


def test_what_is_wider_than_a_phone_is_scrolled_by_keys(seen: Seen, view: tuple[int, bool]) -> None:
    assert seen.answer["unnamed"] == 0
    if view[0] == PHONE_PX:
        assert seen.answer["n_scrolling"] > len(TASKS)
