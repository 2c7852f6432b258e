"""README says what docs/results.md and the results that ship say, in the words of the code."""

import json
import re

import pandas as pd

from stages.cli.report import SHIPPED_RESULTS
from stages.page.verdict import LINES
from stages.tables.pivot import MASKS
from tests.fixtures.dvc_stages import ROOT
from tools.blocks import read_block
from tools.show_results import (
    IS_BASE,
    better_masks_block,
    better_masks_table,
    is_lost,
    measure_cells,
    replicated,
    starred,
)

NUMBER = re.compile(r"[+-]?[\d.]+")


def test_readme_shows_the_better_masks_of_the_docs() -> None:
    block = read_block(ROOT / "docs/results.md", "better-masks").strip()
    masks = masks_of_table(block)
    assert better_masks_table(masks) == block
    assert better_masks_block(masks) == read_block(ROOT / "README.md", "better-masks")


def test_readme_has_the_sentences_that_ship_and_the_meanings_of_the_table() -> None:
    lines = read_block(ROOT / "README.md", "results").splitlines()
    for subject, words in json.loads(SHIPPED_RESULTS.read_text("utf-8"))["sentences"].items():
        assert f"- **{subject}**: {starred(words)}" in lines
    rows = [line.split(" | ")[:2] for line in lines if line.startswith("| ")]
    meanings = [[f"| {starred(line.label)}", line.meaning] for line in LINES]
    assert [row for row in rows if row in meanings] == meanings


def test_no_gain_that_other_scenes_lost_is_bold() -> None:
    gains = replicated(read_block(ROOT / "docs/results.md", "replication"))
    lines = read_block(ROOT / "README.md", "results").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    columns = {
        (row[0], label): cell for row in rows for label, cell in zip(rows[0], row, strict=True)
    }
    for (task, measure), gain in gains.items():
        assert columns[measure, task].startswith("**") != is_lost(gain)
    shown = pd.DataFrame([{"label": "H_Std", "task": "70.0", "task_better": True}])
    kept, lost = ({("Task", "H_Std"): f"+1.0 ({low} to +2.0)"} for low in ("+0.1", "−0.1"))
    assert measure_cells(shown, ["task"], kept)[0][-1] == "**70.0**"
    assert measure_cells(shown, ["task"], lost)[0][-1] == "70.0"


def masks_of_table(block: str) -> pd.DataFrame:
    """Scores of ``better_masks``, as far as the table of docs/results.md has their digits."""
    header, _, *lines = (line.strip("| ").split(" | ") for line in block.splitlines())
    names = {label: name for name, label in MASKS.items()}
    rows = []
    for label, *cells, shares in lines:
        name = names[label]
        statistic = "mask_iou" if name in IS_BASE else "mask_gain"
        changed = dict(zip(("changed", "gained", "lost"), numbers(shares), strict=False))
        for model, cell in zip(header[1:-1], cells, strict=True):
            value, low, high = numbers(cell)
            bounds = {statistic: value, f"{statistic}_low": low, f"{statistic}_high": high}
            rows.append({"model": model, "choice": name, **bounds, **changed})
    return pd.DataFrame(rows)


def numbers(cell: str) -> list[float]:
    # A little lower where negative: the sign of -0.0 would be lost.
    numbers = NUMBER.findall(cell.replace("−", "-"))
    return [float(number) - 1e-6 * number.startswith("-") for number in numbers]
