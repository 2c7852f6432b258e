"""The report in a real browser: columns sort, pictures are leafed through, a phone shows it all."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from pipeline.vocabulary import USED
from stages.tables.report_table import of_protocol
from storage.outputs.results import SplitResults
from storage.paths import RESULTS
from tests.fixtures.chromium import chromium
from tests.fixtures.eval_split import SPLITS
from tests.fixtures.scores import made

SPLIT: Final = SPLITS[-1]
PHONE_PX: Final = 390

QUESTION: Final = """async () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  await new Promise((done) => setTimeout(done, 1000));
  const first = document.querySelector("#task-selected table.sortable");
  const values = () => [...first.tBodies[0].rows].map(
    (row) => Number.parseFloat(row.cells[1].firstChild.data));
  const states = () => [...first.tHead.rows[0].cells].map((th) => th.getAttribute("aria-sort"));
  const sorts = [[values(), states()]];
  for (const place of [1, 1]) {
    first.tHead.rows[0].cells[place].querySelector("button").click();
    sorts.push([values(), states()]);
  }
  const picture = document.querySelector("section[id^=gallery-best] .picture");
  const widths = () => picture.querySelector("svg").getBoundingClientRect().width;
  const small = widths();
  picture.querySelector("a.enlarge").click();
  await new Promise((done) => setTimeout(done, 200));
  const targets = [location.hash];
  const enlarged = widths() / small;
  for (const name of ["ArrowRight", "ArrowLeft", "ArrowLeft", "Escape"]) {
    document.dispatchEvent(new KeyboardEvent("keydown", { key: name }));
    targets.push(location.hash);
  }
  return {
    sorts, enlarged, targets,
    overflow_px: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    wide: [...document.querySelectorAll(".card > *")].filter(
      (part) => part.getBoundingClientRect().right > innerWidth).length,
    squeezed: [...document.querySelectorAll("tbody th:first-child")].filter(
      (name) => name.clientWidth < 40).map((name) => name.textContent),
  };
}"""


@pytest.fixture(scope="module")
def answer(reported_beside_paper: Path) -> dict[str, Any]:
    """What the page answers to ``QUESTION`` on a phone, silently."""
    console: list[str] = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": PHONE_PX, "height": 900})
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto((reported_beside_paper / RESULTS / "report.html").as_uri())
        found: dict[str, Any] = page.evaluate(QUESTION)
        page.close()
    assert console == []
    return found


def test_nothing_is_wider_than_a_phone_nor_a_name_broken_letter_by_letter(
    answer: dict[str, Any],
) -> None:
    assert (answer["overflow_px"], answer["wide"], answer["squeezed"]) == (0, 0, [])


def test_a_press_on_the_head_of_a_column_sorts(
    answer: dict[str, Any], results: dict[str, SplitResults]
) -> None:
    expected = made("{task}", of_protocol(results, USED), "task")[SPLIT]
    falling = expected.sort_values(ascending=False)
    for (values, states), ordered, state in zip(
        answer["sorts"],
        (expected, falling, expected.sort_values()),
        (None, "descending", "ascending"),
        strict=True,
    ):
        np.testing.assert_allclose(np.array(values, float), ordered, atol=0.05)
        assert states == [None, state]


def test_a_click_enlarges_a_picture_and_keys_lead_on_and_back(answer: dict[str, Any]) -> None:
    assert answer["enlarged"] > 2
    first, second = (f"#picture-best-{SPLIT}-model-{rank}" for rank in (1, 2))
    # The first picture has none before it.
    card = f"#gallery-best-{SPLIT}-model"
    assert answer["targets"] == [first, second, first, first, card]
