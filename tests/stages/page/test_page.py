"""The report in a real browser: on a desk, on a phone, and in the dark."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pytest
from playwright.sync_api import Browser

from pipeline.vocabulary import PROTOCOLS, TASKS
from stages.page.verdict import USED
from stages.tables.auc import overview_table
from stages.tables.report_table import of_protocol
from storage.outputs.results import SplitResults
from storage.paths import RESULTS
from tests.fixtures.chromium import chromium
from tests.fixtures.eval_split import SPLITS

PHONE_PX: Final = 390
DESK_PX: Final = 1280
HEIGHT_PX: Final = 900

QUESTION: Final = """async () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  await new Promise((done) => setTimeout(done, 1000));
  const colours = (element) => {
    const style = getComputedStyle(element);
    return [style.color, style.backgroundColor];
  };
  const first = document.querySelector("table.sortable");
  const column = (place) => [...first.tBodies[0].rows].map((row) => row.cells[place]);
  const values = () => column(3).map((cell) => Number.parseFloat(cell.firstChild.data));
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
  const picture = document.querySelector("section[id^=gallery-best] .picture");
  const pictures = [shown(picture.querySelector("svg"))];
  picture.querySelector("a.enlarge").click();
  await new Promise((done) => setTimeout(done, 200));
  pictures.push(shown(picture.querySelector("svg")));
  const targets = [location.hash];
  for (const name of ["ArrowRight", "ArrowLeft", "ArrowLeft", "Escape"]) {
    key(name);
    targets.push(location.hash);
  }
  const focused = document.activeElement.hash;
  return {
    overflow_px: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    wide: [...document.querySelectorAll(".card > *")].filter(
      (part) => part.getBoundingClientRect().right > innerWidth).length,
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
    card: colours(document.querySelector(".card")).concat(colours(document.body)),
    squeezed: [...document.querySelectorAll("tbody th:first-child")].filter(
      (name) => name.clientWidth < 40).map((name) => name.textContent),
    unlabelled: [...document.querySelectorAll("th button")].filter(
      (button) => !button.textContent.trim()).length,
    sorts, labels, enlarged: pictures, targets, focused,
  };
}"""


@pytest.fixture(
    scope="module",
    params=[(DESK_PX, False), (PHONE_PX, True)],
    ids=["desk", "dark phone"],
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


def test_every_figure_is_drawn_as_wide_as_its_card(seen: Seen) -> None:
    figures = seen.answer["figures"]
    # The first of each split; curves of each task and risk, twice; the radar, reliability, routing.
    n_of_protocol = 2 * (len(TASKS) + 1) + 3
    assert len(figures) == len(SPLITS) * (1 + len(PROTOCOLS) * n_of_protocol)
    for figure in figures:
        assert figure["lines"]
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


def test_nothing_is_wider_than_the_page(seen: Seen) -> None:
    assert seen.answer["overflow_px"] == 0
    assert seen.answer["wide"] == 0


def test_no_name_of_a_row_is_broken_letter_by_letter(seen: Seen) -> None:
    assert seen.answer["squeezed"] == []


def test_the_page_is_dark_where_the_reader_likes_it(seen: Seen, view: tuple[int, bool]) -> None:
    _, is_dark = view
    for colour, is_light in zip(seen.answer["card"], [is_dark, not is_dark] * 2, strict=True):
        red = int(colour.partition("(")[2].split(",")[0])
        assert (red > 127) == is_light


def test_a_press_on_the_head_of_a_column_sorts(
    seen: Seen, results: dict[str, SplitResults]
) -> None:
    start, falling, rising, named = seen.answer["sorts"]
    expected = overview_table(of_protocol(results, USED), SPLITS[0])["task"]
    for (_, values, _), ordered in (
        (start, expected),
        (falling, expected.sort_values(ascending=False)),
        (rising, expected.sort_values()),
    ):
        np.testing.assert_allclose(np.array(values, float), ordered, atol=0.05)
    assert [state for _, _, state in seen.answer["sorts"]] == [
        [None] * 5,
        [None, None, None, "descending", None],
        [None, None, None, "ascending", None],
        ["ascending", None, None, None, None],
    ]
    assert named[1] != rising[1]
    labels = seen.answer["labels"]
    assert labels[:3] == sorted(labels, key=str.casefold)[:3]
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
